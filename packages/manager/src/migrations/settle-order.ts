/** What becomes of an order: where the VM goes and how, on reports that were just made. */
import { type MigrationOrder, type MigrationPlan, SealiftError } from '@sealift/contract';
import type { Hosts } from '../agents/hosts.ts';
import type { Decision } from '../planner/index.ts';
import type { Planner } from '../planner/planner.ts';
import type { StoredVm } from '../store/store.ts';

/** A plan that can be carried out. */
export type Settled = MigrationPlan & Required<Pick<MigrationPlan, 'to' | 'suite'>>;

/**
 * The source and the destination are asked anew before anything is committed. Where the order leaves the choice to the planner, and the host that
 * it chose no longer does, the next one is taken.
 * @throws SealiftError for every refusal; by the code of the first check that fails, all of them in `details.checks`
 */
export async function settleOrder(planner: Planner, hosts: Hosts, vm: StoredVm, order: MigrationOrder): Promise<Settled> {
  const source = hosts.get(vm.host);
  if (order.to !== undefined) {
    const destination = hosts.get(order.to);
    if (destination === source) throw new SealiftError('same_host', `VM ${vm.name} is on host ${order.to} already`);
    await Promise.all([source.ask(), destination.ask()]);
    return settled(await planner.decide(vm, order));
  }
  await source.ask();
  const tried = new Set<string>();
  let refused: SealiftError | undefined;
  for (;;) {
    const decision = await planner.decide(vm, order, tried);
    const to = decision.chosen?.host;
    // What a host said when it was asked anew tells more than that no other is left.
    if (to === undefined) throw refused ?? decision.refusal ?? nowhere(vm.name);
    try {
      await hosts.get(to).ask();
      return { ...settled(await planner.decide(vm, { ...order, to })), why: decision.plan.why };
    } catch (error) {
      if (!(error instanceof SealiftError)) throw error;
      refused = error;
      tried.add(to);
    }
  }
}

function settled({ plan, refusal }: Decision): Settled {
  const { to, suite } = plan;
  if (to === undefined || suite === undefined) throw refusal ?? nowhere(plan.vm);
  return { ...plan, to, suite };
}

const nowhere = (vm: string): SealiftError => new SealiftError('no_room', `no host will do for VM ${vm}`);
