/** `sealift cluster balance`: what would even out the load, or doing it. */
import type { Command } from 'commander';
import { type Context, withManager } from '../context.ts';
import { UsageError } from '../exit-codes.ts';
import { describe } from '../manual/manual.ts';
import { onOrOff } from '../options.ts';
import { printJson } from '../output/io.ts';

interface BalanceOptions {
  readonly apply?: boolean;
  readonly auto?: boolean;
  readonly detach?: boolean;
}

export function addBalanceCommand(cluster: Command): void {
  describe(
    cluster
      .command('balance')
      .argument('<cluster>', 'its name')
      .description('propose the fewest moves that even out the load, or make them')
      .option('--apply', 'make the moves, and follow them to their end; Ctrl-C leaves them going on')
      .option('--detach', 'with --apply: order it and leave')
      .option('--auto <on|off>', 'let the manager do so by itself from now on, or no longer', onOrOff)
      .action((name: string, options: BalanceOptions, command: Command) => {
        if (options.apply && options.auto !== undefined) throw new UsageError('--apply and --auto are two orders; give one of them');
        if (options.detach && !options.apply) throw new UsageError('--detach belongs to --apply, which is missing');
        return withManager(command, (context) => balance(context, name, options));
      }),
    {
      about: [
        'Without --apply it prints the proposal: which VM to move where and why, the load of each host before and after, and whether every host ' +
          "is within the cluster's band then. Moves that are not worth their cost are not proposed, and a VM that was moved lately is left alone.",
        'A VM that would move without encryption is marked CLEAR.',
      ],
      changes: 'Nothing without an option. With --apply, VMs are moved; with --auto on, the manager moves them whenever it is worth it.',
      examples: [
        ['sealift cluster balance default', 'the proposal'],
        ['sealift cluster balance default --json', 'the same as data'],
        ['sealift cluster balance default --apply', 'carry it out, as a task'],
        ['sealift cluster balance default --auto on', 'from now on by itself'],
      ],
      exits: [3, 4, 6, 7, 130],
    },
  );
}

async function balance(context: Context, name: string, { apply, auto, detach }: BalanceOptions): Promise<void> {
  const { io, manager } = context;
  const params = { cluster: name };
  if (auto !== undefined) {
    await manager.getCluster({ params }); // setting would make one that is not there
    const it = await manager.setCluster({ params, body: { balance: { auto } } });
    if (io.json) printJson(io, it);
    else
      io.print(
        it.balance.auto ? `Cluster ${name} is balanced by itself from now on` : `Cluster ${name} is balanced only when it is ordered`,
      );
    return;
  }
  if (apply) {
    const { followOrder } = await import('../task/order.ts');
    return followOrder(context, await manager.balanceCluster({ params }), detach ?? false);
  }
  const plan = await manager.planBalance({ params });
  if (io.json) return printJson(io, plan);
  const { balancePlanLines } = await import('../plan/render.ts');
  for (const line of await balancePlanLines(plan, { columns: 80, colour: false })) io.print(line);
  if (plan.moves.length > 0) io.note(`Make these moves with: sealift cluster balance ${name} --apply`);
}
