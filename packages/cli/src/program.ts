/** The command line: which commands there are. What they do is beside them, and loaded only when they run. */
import { Command } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { withManager } from './context.ts';
import { UsageError } from './exit-codes.ts';
import { handOvers } from './hand-over.ts';
import { addHostCommands } from './host/commands.ts';
import { addMigrateCommand, addMigrationCommands } from './migration/commands.ts';
import { printJson } from './output/io.ts';
import { printFields } from './output/table.ts';
import { addVmCommands } from './vm/commands.ts';

/** Throws commander's CommanderError in place of ending the process. */
export function createProgram(): Command {
  const program = new Command('sealift')
    .description('Moves running virtual machines between hosts, sealed with a key that exists for that one migration.')
    .version(manifest.version)
    .option('--json', 'results as JSON; watching prints a document a line')
    .option('--manager <url>', 'unix:/path/manager.sock or http://host:port (default: $SEALIFT_MANAGER, else this machine)')
    .exitOverride()
    .showHelpAfterError('(see --help)')
    .showSuggestionAfterError()
    .addHelpText('after', '\nExit statuses: sealift help exit-codes');

  program
    .command('status')
    .description('the manager and what it looks after')
    .action((_options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        const status = await manager.status();
        if (io.json) printJson(io, status);
        else printFields(io, status);
      }),
    );

  addHostCommands(program.command('host').description('hosts, and the agents on them'));
  const vm = program.command('vm').description('virtual machines');
  addVmCommands(vm);
  addMigrateCommand(vm);
  addMigrationCommands(program.command('migration').description('migrations, running and past'));

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
