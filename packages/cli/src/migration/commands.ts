/** `sealift vm migrate` and `sealift migration …` */
import type { Migration, MigrationOrder } from '@sealift/contract';
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import { percent, positiveNumber, size, wholeNumber } from '../options.ts';
import { type Io, printJson } from '../output/io.ts';
import { printFields, printList } from '../output/table.ts';
import { formatBytes, formatDuration, formatTime } from '../output/units.ts';
import { clearWarning, isSealed, plainLine, summaryLines } from './render.ts';
import { resolutionLines } from './resolution-words.ts';
import { addResolveCommand } from './resolve.ts';
import { addSetCommand } from './set.ts';

interface MigrateOptions {
  readonly to: string;
  readonly clear?: boolean;
  readonly channels?: number;
  readonly bandwidth?: number;
  readonly downtime?: number;
  readonly maxDowntime?: number;
  readonly maxThrottle?: number;
  readonly deadline?: number;
  readonly postcopy?: boolean;
  readonly detach?: boolean;
}

export function addMigrateCommand(vm: Command): void {
  vm.command('migrate <name>')
    .description('move a running VM to another host. Ctrl-C cancels, and the VM runs on where it is')
    .requiredOption('--to <host>', 'destination')
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
    .addHelpText('after', `\n${postcopyRisk}`)
    .option('--detach', 'order it and leave')
    .action((name: string, options: MigrateOptions, command: Command) =>
      withManager(command, async (context) => {
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
      }),
    );
}

/** Said before it begins: afterwards there is no way back. */
const postcopyRisk =
  'POST-COPY From the moment the VM runs at the destination until its last page has arrived, it needs both hosts and the line between them: ' +
  'if one of them fails, its memory is lost, and it can only be started again from its disks. Nothing can be cancelled then. ' +
  'It goes through a single channel. Without --postcopy a migration that does not end leaves the VM running where it is.';

const plain = { columns: 80, colour: false };

export function orderOf({
  to,
  clear,
  channels,
  bandwidth,
  downtime,
  maxDowntime,
  maxThrottle,
  deadline,
  postcopy,
}: MigrateOptions): MigrationOrder {
  const limits = {
    ...(bandwidth !== undefined && { bandwidthBytesPerSecond: bandwidth }),
    ...(downtime !== undefined && { downtimeMs: downtime }),
    ...(maxDowntime !== undefined && { maxDowntimeMs: maxDowntime }),
    ...(maxThrottle !== undefined && { maxThrottlePercent: maxThrottle }),
    ...(deadline !== undefined && { deadlineMs: Math.round(deadline * 1000) }),
    ...(postcopy && { postcopy }),
  };
  return {
    to,
    ...(clear && { clear }),
    ...(channels !== undefined && { multifdChannels: channels }),
    ...(Object.keys(limits).length > 0 && { limits }),
  };
}

export function addMigrationCommands(migration: Command): void {
  migration
    .command('ls')
    .description('list migrations, newest first')
    .action((_options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) =>
        printList(io, await manager.listMigrations(), {
          head: ['ID', 'VM', 'FROM', 'TO', 'DATA', 'PHASE', 'ORDERED', 'TOOK', 'SWITCH-OVER'],
          row: (it) => [
            it.id,
            it.vm,
            it.from,
            it.to,
            isSealed(it) ? 'sealed' : 'CLEAR',
            it.phase,
            formatTime(it.orderedAt),
            it.endedAt === undefined ? '-' : formatDuration(it.endedAt - it.orderedAt),
            it.result ? formatDuration(it.result.switchOverMs) : '-',
          ],
          empty: 'There were no migrations; order one with: sealift vm migrate NAME --to HOST',
        }),
      ),
    );

  migration
    .command('show <id>')
    .description('one migration')
    .action((id: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        const it = await manager.getMigration({ params: { migration: id } });
        if (io.json) printJson(io, it);
        else printDetails(io, it);
      }),
    );

  migration
    .command('watch <id>')
    .description('watch it to its end; Ctrl-C leaves it alone')
    .action((id: string, _options: unknown, command: Command) =>
      withManager(command, async (context) => {
        const { watch } = await import('./watch.ts');
        await watch(context, id, false);
      }),
    );

  migration
    .command('cancel <id>')
    .description('stop moving; the VM runs on at the source')
    .action((id: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        const it = await manager.cancelMigration({ params: { migration: id } });
        if (io.json) printJson(io, it);
        else io.print(`Asked to cancel the migration of ${it.vm} to ${it.to}; see how it ends with: sealift migration watch ${id}`);
      }),
    );

  addSetCommand(migration);
  addResolveCommand(migration);
}

function printDetails(io: Io, it: Migration): void {
  for (const line of it.endedAt === undefined ? [plainLine(it), ...clearWarning(it, plain)] : summaryLines(it, plain)) io.print(line);
  io.print('');
  printFields(io, {
    id: it.id,
    vm: it.vm,
    from: it.from,
    to: it.to,
    suite: it.suite,
    clear: it.clearBecause,
    phase: it.phase,
    attempt: it.attempt,
    ordered: formatTime(it.orderedAt),
    ended: it.endedAt === undefined ? undefined : formatTime(it.endedAt),
    failure: it.failure && `${it.failure.code}: ${it.failure.message}`,
    'what to do': it.failure?.advice,
    decided: resolutionLines(it).join('\n') || undefined,
    ...Object.fromEntries(
      (it.progress?.channels ?? []).map(({ channel, kind, bytes, records }) => [
        `channel ${channel}`,
        `${kind}, ${formatBytes(bytes)} in ${records} records`,
      ]),
    ),
  });
}
