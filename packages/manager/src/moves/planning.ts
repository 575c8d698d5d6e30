/** What drains and balances need of the planner, and of the migrations. */
import type { BalancePlan, DrainOrder, DrainPlan, Migration, MigrationOrder, MigrationPlan } from '@sealift/contract';

export interface Planning {
  /** @throws SealiftError not_found */
  plan(vm: string, order: MigrationOrder): Promise<MigrationPlan>;
  /** Of VMs that run or are paused and are not moving. @throws SealiftError not_found, agent_unreachable */
  planDrain(host: string, order: DrainOrder): Promise<DrainPlan>;
  /** @throws SealiftError not_found */
  planBalance(cluster: string): Promise<BalancePlan>;
  /** Migrations at once: out of and into a host, and in the cluster. What was not set follows from the links. */
  limits(cluster: string): Promise<{ perHost(host: string): number; readonly perCluster: number }>;
}

export interface Moving {
  /** @throws SealiftError for every refusal, with nothing changed */
  order(vm: string, order: MigrationOrder, parent?: string): Promise<Migration>;
  cancel(id: string): Promise<Migration>;
}
