/** `sealift migration set`: other limits while a migration runs. */
import type { LimitsChange } from '@sealift/contract';
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import { UsageError } from '../exit-codes.ts';
import { positiveNumber, size } from '../options.ts';
import { printJson } from '../output/io.ts';
import { formatDuration, formatRate } from '../output/units.ts';

interface SetOptions {
  readonly bandwidth?: number;
  readonly deadline?: number;
}

export function addSetCommand(migration: Command): void {
  migration
    .command('set <id>')
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
