/** `sealift vm stats`: what VMs use, now or again and again. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Vm } from '@sealift/contract';
import type { Command } from 'commander';
import { type Context, withManager } from '../context.ts';
import { behind, collected } from '../manager/pages.ts';
import { describe } from '../manual/manual.ts';
import { positiveNumber } from '../options.ts';
import { printJson } from '../output/io.ts';
import { formatTable } from '../output/table.ts';
import { statsCells, statsHead } from './render.ts';

interface StatsOptions {
  readonly host?: string;
  readonly watch?: boolean;
  readonly interval: number;
}

export function addStatsCommand(vm: Command): void {
  describe(
    vm
      .command('stats')
      .argument('[vm]', 'its name; all VMs where it is left out')
      .description('what VMs use: CPUs, memory, disks, networks')
      .option('--host <host>', 'only VMs of this host')
      .option('--watch', 'again and again, until Ctrl-C')
      .option('--interval <seconds>', 'between two looks, with --watch', positiveNumber, 2)
      .action((name: string | undefined, options: StatsOptions, command: Command) =>
        withManager(command, (context) => (options.watch ? watchStats(context, name, options) : showStats(context, name, options))),
      ),
    {
      about: [
        'Figures are of the last few seconds, as the agents report them: CPUS is CPUs’ worth (1.00 is one CPU fully used), RESIDENT what QEMU ' +
          'takes of the host’s memory. A VM that is off, or whose host does not say, has none.',
        'With --json: an array of {name, host, state, stats}; with --watch as well, such an array on a line each time.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift vm stats', 'all VMs, once'],
        ['sealift vm stats web-1 --watch', 'one VM, every 2 seconds'],
        ['sealift vm stats --host alpha --watch --interval 10', 'what is busy on a host'],
      ],
      exits: [3, 130],
    },
  );
}

async function vmsOf({ manager }: Context, name: string | undefined, host: string | undefined): Promise<Vm[]> {
  if (name !== undefined) return [await manager.getVm({ params: { vm: name } })];
  return collected<Vm>((limit, last) => manager.listVms({ query: { limit, ...(host && { host }), ...behind(last) } }));
}

const figures = ({ name, host, state, stats }: Vm) => ({ name, host, state, ...(stats && { stats }) });

const table = (vms: readonly Vm[]): Promise<string[]> =>
  formatTable(
    ['NAME', 'HOST', 'STATE', ...statsHead],
    vms.map(({ name, host, state, stats }) => [name, host, state, ...(stats ? statsCells(stats) : statsHead.map(() => '-'))]),
  );

async function showStats(context: Context, name: string | undefined, { host }: StatsOptions): Promise<void> {
  const { io } = context;
  const vms = await vmsOf(context, name, host);
  if (io.json) printJson(io, vms.map(figures));
  else for (const line of await table(vms)) io.print(line);
}

async function watchStats(context: Context, name: string | undefined, { host, interval }: StatsOptions): Promise<void> {
  const { io } = context;
  const { untilInterrupted } = await import('../endings.ts');
  // Written over only where both outputs are the same terminal; elsewhere each look is printed below the last.
  const live = !io.json && io.columns !== undefined && process.stdout.isTTY ? io.live() : undefined;
  await untilInterrupted('left', async (signal) => {
    for (;;) {
      const vms = await vmsOf(context, name, host);
      if (io.json) printJson(io, vms.map(figures), 'line');
      else if (live) live.draw((await table(vms)).slice(0, process.stdout.rows - 1).map((line) => line.slice(0, (io.columns ?? 80) - 1)));
      else for (const line of await table(vms)) io.print(line);
      await sleep(interval * 1000, undefined, { signal });
    }
  });
}
