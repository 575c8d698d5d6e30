/** `sealift vm migrate`: move a VM, or see what that would do. */
import type { ErrorCode, MigrationOrder, MigrationPlan } from '@sealift/contract';
import { type Command, Option } from 'commander';
import { type Context, withManager } from '../context.ts';
import { describe } from '../manual/manual.ts';
import { percent, positiveNumber, size, wholeNumber } from '../options.ts';
import { printJson } from '../output/io.ts';
import { clearWarning } from './render.ts';

interface MigrateOptions {
  readonly to?: string;
  readonly clear?: boolean;
  readonly channels?: number;
  readonly bandwidth?: number;
  readonly downtime?: number;
  readonly maxDowntime?: number;
  readonly maxThrottle?: number;
  readonly deadline?: number;
  readonly postcopy?: boolean;
  readonly keepSourceDisks?: boolean;
  readonly detach?: boolean;
  readonly dryRun?: boolean;
}

/** Said before it begins: afterwards there is no way back. */
const postcopyRisk =
  'POST-COPY From the moment the VM runs at the destination until its last page has arrived, it needs both hosts and the line between them: ' +
  'if one of them fails, its memory is lost, and it can only be started again from its disks. Nothing can be cancelled then. ' +
  'It goes through a single channel. Without --postcopy a migration that does not end leaves the VM running where it is.';

export function addMigrateCommand(vm: Command): void {
  describe(
    vm
      .command('migrate')
      .argument('<vm>', 'its name')
      .description('move a running VM to another host. Ctrl-C cancels, and the VM runs on where it is')
      .option('--to <host>', 'destination (default: the host that fits best)')
      .option('--dry-run', 'change nothing; print every check, and every host that was considered')
      .option('--clear', 'without encryption; refused where the VM requires it')
      .option('--channels <n>', 'parallel memory channels (multifd); 0 moves everything through one', wholeNumber)
      .option('--bandwidth <size>', 'bytes a second at most, such as 500M (10^6) or 1Gi (2^30)', size)
      .option('--downtime <ms>', 'switch over once what is left fits this time (default: 30)', wholeNumber)
      .option('--max-downtime <ms>', 'how far that may grow where the VM writes too much to fit it (default: 300)', wholeNumber)
      .option('--max-throttle <percent>', 'how far the VM may be slowed where it writes too much, 0 to 99; 0: never (default: 80)', percent)
      .option('--deadline <seconds>', 'cancel where it has not switched over by then', positiveNumber)
      .option(
        '--postcopy',
        'after one pass over memory, run it at the destination and fetch the rest then: ends however much it writes, see below',
      )
      .option('--keep-source-disks', 'disks that go with it stay behind as well, as files of nobody')
      .addOption(new Option('--detach', 'order it and leave').conflicts('dryRun'))
      .action((name: string, options: MigrateOptions, command: Command) =>
        withManager(command, (context) => (options.dryRun ? plan(context, name, options) : migrate(context, name, options))),
      ),
    {
      about: [
        'Copies its disks in pools that are not shared, then memory, while the VM runs; stops it for the last of it, and runs it at the destination. Without --to the manager picks the host: ' +
          'first what must hold, then load and rules. Whether it is sealed follows from the encryption mode of the VM and from what both hosts can: ' +
          'a migration that is CLEAR says so before, during and after.',
        'With --dry-run it prints each check with its verdict, the reason and what to do, and every host that was considered. WAIT passes later by itself. ' +
          'The status is 0 where the VM would be moved, else that of the refusal.',
        postcopyRisk,
      ],
      changes:
        'The VM runs on another host, its definition and address stay the same; disks that went with it are removed where it was. Where it fails or is cancelled it runs on where it was.',
      examples: [
        ['sealift vm migrate web-1', 'to the host that fits best'],
        ['sealift vm migrate web-1 --to bravo', 'to this one'],
        ['sealift vm migrate web-1 --dry-run', 'where could it go, and why not to the others?'],
        ['sealift vm migrate web-1 --to bravo --dry-run --json', 'the plan as data'],
        ['sealift vm migrate web-1 --to bravo --bandwidth 500M --deadline 600 --detach', 'with limits, in the background'],
      ],
      exits: [3, 4, 6, 7, 8, 10, 130],
    },
  );
}

async function migrate(context: Context, name: string, options: MigrateOptions): Promise<void> {
  const { io, manager } = context;
  if (options.postcopy) io.note(postcopyRisk);
  const ordered = await manager.migrateVm({ params: { vm: name }, body: orderOf(options) });
  if (!options.detach) {
    const { watch } = await import('./watch.ts');
    return watch(context, ordered.id, true);
  }
  if (io.json) return printJson(io, ordered, 'line');
  for (const line of clearWarning(ordered, plain)) io.note(line);
  io.print(`Migration ${ordered.id} of ${name} to ${ordered.to} is ordered; watch it with: sealift migration watch ${ordered.id}`);
}

async function plan({ io, manager }: Context, name: string, options: MigrateOptions): Promise<void> {
  const it = await manager.planMigration({ params: { vm: name }, body: orderOf(options) });
  const { planLines, wouldGo } = await import('../plan/render.ts');
  if (io.json) printJson(io, it);
  else for (const line of await planLines(it, plain)) io.print(line);
  if (wouldGo(it)) return;
  const { AlreadyTold } = await import('../endings.ts');
  throw new AlreadyTold(await refusalOf(it, options.to, manager), it.why);
}

/** As the order would be refused: by the first check that fails. A host that does not answer is a refusal of its own. */
async function refusalOf(plan: MigrationPlan, to: string | undefined, manager: Context['manager']): Promise<ErrorCode> {
  const first = plan.checks.find(({ verdict }) => verdict === 'fail')?.name;
  const silent = async (host: string): Promise<boolean> => (await manager.getHost({ params: { host } })).state === 'unreachable';
  if (to !== undefined && first === 'host-state' && (await silent(to))) return 'agent_unreachable';
  if (first === 'vm-state' && (await silent(plan.from))) return 'agent_unreachable';
  return 'wrong_state';
}

const plain = { columns: 80, colour: false };

function orderOf(options: MigrateOptions): MigrationOrder {
  const { to, clear, channels, bandwidth, downtime, maxDowntime, maxThrottle, deadline, postcopy, keepSourceDisks } = options;
  const limits = {
    ...(bandwidth !== undefined && { bandwidthBytesPerSecond: bandwidth }),
    ...(downtime !== undefined && { downtimeMs: downtime }),
    ...(maxDowntime !== undefined && { maxDowntimeMs: maxDowntime }),
    ...(maxThrottle !== undefined && { maxThrottlePercent: maxThrottle }),
    ...(deadline !== undefined && { deadlineMs: Math.round(deadline * 1000) }),
    ...(postcopy && { postcopy }),
  };
  return {
    ...(to !== undefined && { to }),
    ...(clear && { clear }),
    ...(channels !== undefined && { multifdChannels: channels }),
    ...(Object.keys(limits).length > 0 && { limits }),
    ...(keepSourceDisks && { keepSourceDisks }),
  };
}
