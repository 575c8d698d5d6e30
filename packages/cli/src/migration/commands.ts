/** `sealift migration …` */
import type { Migration } from '@sealift/contract';
import type { Command } from 'commander';
import { type Context, withManager } from '../context.ts';
import { describe } from '../manual/manual.ts';
import { atLeastOne } from '../options.ts';
import { type Io, printJson } from '../output/io.ts';
import { printFields, printList } from '../output/table.ts';
import { formatBytes, formatDuration, formatTime } from '../output/units.ts';
import { clearWarning, isSealed, plainLine, summaryLines } from './render.ts';
import { resolutionLines } from './resolution-words.ts';
import { addResolveCommand } from './resolve.ts';
import { addSetCommand } from './set.ts';

interface ListOptions {
  readonly vm?: string;
  readonly host?: string;
  readonly running?: boolean;
  readonly before?: string;
  readonly limit: number;
}

const id = '0190d3a2-7c1e-7a90-8f10-0123456789ab';

export function addMigrationCommands(migration: Command): void {
  describe(
    migration
      .command('ls')
      .description('list migrations, newest first')
      .option('--vm <vm>', 'only migrations of this VM')
      .option('--host <host>', 'only migrations out of this host or into it')
      .option('--running', 'only those that go on')
      .option('--limit <n>', 'at most so many', atLeastOne, 50)
      .option('--before <migration>', 'go on behind this one, which was the last of the page before')
      .action((options: ListOptions, command: Command) => withManager(command, (context) => list(context, options))),
    {
      about: [
        'Migrations, running and past, with how they ended. One without encryption is marked CLEAR, and why it was is said below the list.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift migration ls --running', 'what moves now'],
        ['sealift migration ls --vm web-1', 'where a VM has been'],
        [`sealift migration ls --limit 1000 --before ${id} --json`, 'the next page, as an array'],
      ],
    },
  );

  describe(
    migration
      .command('show')
      .argument('<migration>', 'its id')
      .description('one migration')
      .action((it: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const shown = await manager.getMigration({ params: { migration: it } });
          if (io.json) printJson(io, shown);
          else printDetails(io, shown);
        }),
      ),
    {
      about: ['Shows how far it is or how it ended: times, bytes of each channel, whether it was sealed, why it failed and what to do.'],
      changes: 'Nothing.',
      examples: [[`sealift migration show ${id}`, 'all that is known of it']],
      exits: [3],
    },
  );

  describe(
    migration
      .command('watch')
      .argument('<migration>', 'its id')
      .description('watch it to its end; Ctrl-C leaves it alone')
      .action((it: string, _options: unknown, command: Command) =>
        withManager(command, async (context) => {
          const { watch } = await import('./watch.ts');
          await watch(context, it, false);
        }),
      ),
    {
      about: ['Shows its progress, and ends when it has ended, with a status that says how. With --json each state is a line.'],
      changes: 'Nothing.',
      examples: [[`sealift migration watch ${id}`, 'until it has ended']],
      exits: [3, 6, 7, 10, 130],
    },
  );

  describe(
    migration
      .command('cancel')
      .argument('<migration>', 'its id')
      .description('stop moving; the VM runs on at the source')
      .action((it: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const asked = await manager.cancelMigration({ params: { migration: it } });
          if (io.json) printJson(io, asked);
          else io.print(`Asked to cancel the migration of ${asked.vm} to ${asked.to}; see how it ends with: sealift migration watch ${it}`);
        }),
      ),
    {
      about: ['Asks the manager to stop it, and returns before it has ended. Refused once the VM has been handed over.'],
      changes: 'The VM runs on at the source; nothing of it stays at the destination.',
      examples: [[`sealift migration cancel ${id}`, 'leave the VM where it is']],
      exits: [3, 4],
    },
  );

  addSetCommand(migration);
  addResolveCommand(migration);
}

async function list({ io, manager }: Context, { vm, host, running, before, limit }: ListOptions): Promise<void> {
  const query = { limit, ...(vm && { vm }), ...(host && { host }), ...(running && { running }), ...(before && { before }) };
  const migrations = await manager.listMigrations({ query });
  await printList(io, migrations, {
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
  });
  if (io.json) return;
  for (const it of migrations) {
    if (!isSealed(it)) io.note(`CLEAR ${it.id} of ${it.vm}: ${it.clearBecause ?? 'no reason was given'}`);
  }
  const last = migrations.at(-1);
  if (last && migrations.length === limit) io.note(`Older ones: add --before ${last.id}`);
}

const plain = { columns: 80, colour: false };

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
