/** `sealift migration set`: other limits while a migration runs. */
import type { LimitsChange } from '@sealift/contract';
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import { UsageError } from '../exit-codes.ts';
import { describe } from '../manual/manual.ts';
import { positiveNumber, size } from '../options.ts';
import { printJson } from '../output/io.ts';
import { formatDuration, formatRate } from '../output/units.ts';

interface SetOptions {
  readonly bandwidth?: number;
  readonly deadline?: number;
}

export function addSetCommand(migration: Command): void {
  const set = migration
    .command('set')
    .argument('<migration>', 'its id')
    .description('change limits while it runs, before the VM is handed over')
    .option('--bandwidth <size>', 'bytes a second at most, such as 500M (10^6) or 1Gi (2^30); 0 is without limit', size)
    .option('--deadline <seconds>', 'from the order: cancel where it has not switched over by then', positiveNumber)
    .action((id: string, options: SetOptions, command: Command) => {
      const change = changeOf(options);
      return withManager(command, async ({ io, manager }) => {
        const it = await manager.adjustMigration({ params: { migration: id }, body: change });
        if (io.json) printJson(io, it);
        else io.print(`The migration of ${it.vm} from ${it.from} to ${it.to} goes on, with ${wordsOf(change)}`);
      });
    });
  describe(set, {
    about: [
      'Sets other limits for a migration that goes on. They hold from now on; after the VM was handed over no limit applies any more.',
    ],
    changes: 'The limits of this one migration.',
    examples: [
      ['sealift migration set 0190d3a2-7c1e-7a90-8f10-0123456789ab --bandwidth 200M', 'leave room on the line'],
      ['sealift migration set 0190d3a2-7c1e-7a90-8f10-0123456789ab --deadline 600', 'allow it 10 minutes in all'],
    ],
    exits: [3, 4],
  });
}

function changeOf({ bandwidth, deadline }: SetOptions): LimitsChange {
  if (bandwidth === undefined && deadline === undefined)
    throw new UsageError('say what is to change: --bandwidth SIZE, --deadline SECONDS');
  return {
    ...(bandwidth !== undefined && { bandwidthBytesPerSecond: bandwidth }),
    ...(deadline !== undefined && { deadlineMs: Math.round(deadline * 1000) }),
  };
}

function wordsOf({ bandwidthBytesPerSecond: bandwidth, deadlineMs }: LimitsChange): string {
  const words = [
    ...(bandwidth === undefined ? [] : [bandwidth === 0 ? 'no limit of bandwidth' : `${formatRate(bandwidth / 1e6)} at most`]),
    ...(deadlineMs === undefined ? [] : [`a deadline of ${formatDuration(deadlineMs)}`]),
  ];
  return words.join(' and ');
}
