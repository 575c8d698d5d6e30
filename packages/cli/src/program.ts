/** The command line: which commands there are. What they do is beside them, and loaded only when they run. */
import { Command } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { addClusterCommands } from './cluster/commands.ts';
import { addCompletionCommand } from './completion/command.ts';
import { addEventCommands } from './event/commands.ts';
import { UsageError } from './exit-codes.ts';
import { handOvers } from './hand-over.ts';
import { addHostCommands } from './host/commands.ts';
import { addImageCommands } from './image/commands.ts';
import { addMigrationCommands } from './migration/commands.ts';
import { addMigrateCommand } from './migration/migrate.ts';
import { addRuleCommands } from './rule/commands.ts';
import { addStatusCommand } from './status/command.ts';
import { addTaskCommands } from './task/commands.ts';
import { addVmCommands } from './vm/commands.ts';

/** Throws commander's CommanderError in place of ending the process. */
export function createProgram(): Command {
  const program = new Command('sealift')
    .description('Moves running virtual machines between hosts, sealed with a key that exists for that one migration.')
    .version(manifest.version)
    .option('--json', 'results as JSON; watching prints a document a line')
    .option('--manager <url>', 'unix:/path/manager.sock or http://host:port (default: $SEALIFT_MANAGER, else this machine)')
    .exitOverride()
    // However long an option is, what it is for is wrapped to the width of the screen.
    .configureHelp({ minWidthToWrap: 20 })
    .showHelpAfterError('(see --help)')
    .showSuggestionAfterError()
    .addHelpText('after', '\nExit statuses: sealift help exit-codes');

  addStatusCommand(program);
  addClusterCommands(program.command('cluster').description('clusters: hosts among which VMs are placed and balanced'));
  addHostCommands(program.command('host').description('hosts, and the agents on them'));
  addImageCommands(program.command('image').description('images in the pools of hosts, which disks are made from'));
  const vm = program.command('vm').description('virtual machines');
  addVmCommands(vm);
  addMigrateCommand(vm);
  addMigrationCommands(program.command('migration').description('migrations, running and past'));
  addRuleCommands(program.command('rule').description('rules of placement: affinity, anti-affinity, and where VMs may be'));
  addTaskCommands(program.command('task').description('orders from their acceptance to their end'));
  addEventCommands(program.command('event').description('what happens, and what has happened'));
  addCompletionCommand(program);

  for (const [name, { description }] of Object.entries(handOvers)) {
    // Only to be listed: main.ts hands over before this is parsed, unless an option stands before the name.
    program
      .command(name)
      .description(description)
      .allowUnknownOption()
      .allowExcessArguments()
      .helpOption(false)
      .action(() => {
        throw new UsageError(`write "sealift ${name}" first and its options behind it`);
      });
  }
  return program;
}
