/** `sealift host drain` and `sealift host undrain`. */
import type { DrainOrder } from '@sealift/contract';
import { type Command, Option } from 'commander';
import { type Context, withManager } from '../context.ts';
import { describe } from '../manual/manual.ts';
import { atLeastOne, positiveNumber, size } from '../options.ts';
import { printJson } from '../output/io.ts';

interface DrainOptions {
  readonly concurrent?: number;
  readonly bandwidth?: number;
  readonly deadline?: number;
  readonly dryRun?: boolean;
  readonly detach?: boolean;
}

export function addDrainCommands(host: Command): void {
  describe(
    host
      .command('drain')
      .argument('<host>', 'its name')
      .description('into maintenance: move every VM off it. Ctrl-C leaves it going on')
      .option('--concurrent <n>', "migrations at once, 1 to 128; never more than the cluster's limits", atLeastOne)
      .option('--bandwidth <size>', 'bytes a second at most for each migration, such as 500M (10^6) or 1Gi (2^30)', size)
      .option('--deadline <seconds>', 'for each migration: cancel it where it has not switched over by then', positiveNumber)
      .option('--dry-run', 'change nothing; print which VM would go where, and which could not leave and why')
      .addOption(new Option('--watch', 'follow it to its end, as is done anyway').conflicts(['detach', 'dryRun']))
      .addOption(new Option('--detach', 'order it and leave').conflicts('dryRun'))
      .action((name: string, options: DrainOptions, command: Command) => withManager(command, (context) => drain(context, name, options))),
    {
      about: [
        'From the moment of the order no VM is placed on the host. Its VMs are moved one after the other, several at once within the limits, ' +
          'the one with the highest impact last; a migration that fails is tried elsewhere. Only hosts that the encryption mode of a VM allows are candidates for it.',
        'Progress is followed to the end. Ctrl-C leaves the drain going on and says how to cancel it. It survives a restart of the manager.',
        'A VM that moves without encryption is said loudly: in the dry run, as CLEAR, and after the drain.',
      ],
      changes: 'The host is draining, then in maintenance, until host undrain; its VMs run elsewhere. With --dry-run: nothing.',
      examples: [
        ['sealift host drain alpha --dry-run', 'what would go where; status 4 where a VM could not leave'],
        ['sealift host drain alpha', 'empty it before it is patched'],
        ['sealift host drain alpha --concurrent 2 --bandwidth 500M --detach', 'gently, in the background'],
      ],
      exits: [3, 4, 6, 7, 130],
    },
  );

  describe(
    host
      .command('undrain')
      .argument('<host>', 'its name')
      .description('out of maintenance')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const it = await manager.undrainHost({ params: { host: name } });
          if (io.json) printJson(io, it);
          else io.print(`${name} is out of maintenance; VMs may be placed on it again`);
        }),
      ),
    {
      about: ['Lets VMs be placed on the host again. A drain that goes on is cancelled.'],
      changes: 'The host is a candidate again. VMs that have left it stay where they are: see sealift cluster balance.',
      examples: [['sealift host undrain alpha', 'after it was patched']],
      exits: [3, 4],
    },
  );
}

async function drain(context: Context, name: string, options: DrainOptions): Promise<void> {
  const { io, manager } = context;
  const order = { params: { host: name }, body: orderOf(options) };
  if (!options.dryRun) {
    const { followOrder } = await import('../task/order.ts');
    return followOrder(context, await manager.drainHost(order), options.detach ?? false);
  }
  const [plan, { AlreadyTold }] = await Promise.all([manager.planDrain(order), import('../endings.ts')]);
  if (io.json) printJson(io, plan);
  else {
    const { drainPlanLines } = await import('../plan/render.ts');
    for (const line of await drainPlanLines(plan, { columns: 80, colour: false })) io.print(line);
  }
  if (plan.stays.length > 0) throw new AlreadyTold('wrong_state', `${plan.stays.length} VMs cannot leave ${name}`);
}

function orderOf({ concurrent, bandwidth, deadline }: DrainOptions): DrainOrder {
  const limits = {
    ...(bandwidth !== undefined && { bandwidthBytesPerSecond: bandwidth }),
    ...(deadline !== undefined && { deadlineMs: Math.round(deadline * 1000) }),
  };
  return { ...(concurrent !== undefined && { concurrent }), ...(Object.keys(limits).length > 0 && { limits }) };
}
