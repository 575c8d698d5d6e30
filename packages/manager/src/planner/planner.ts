/** Plans on what is known now. Changes nothing. */
import {
  type BalancePlan,
  type DrainOrder,
  type DrainPlan,
  type MigrationOrder,
  type MigrationPlan,
  SealiftError,
} from '@sealift/contract';
import type { Hosts } from '../agents/hosts.ts';
import type { Store, StoredVm } from '../store/store.ts';
import { planBalance, planDrain } from './index.ts';
import { type Limits, limitsOf } from './limits.ts';
import { type Decision, decide } from './migration.ts';
import { takeSnapshot } from './snapshot.ts';
import type { SnapshotMigration } from './types.ts';

/** How many migrations are looked through at once for when VMs were last moved. */
const page = 500;
/** A migration that ended of late was rarely ordered longer ago than this. */
const longestMs = 3_600_000;

export class Planner {
  readonly #store: Store;
  readonly #hosts: Hosts;
  readonly #migrations: () => readonly SnapshotMigration[];

  /** @param migrations those that have not ended */
  constructor(store: Store, hosts: Hosts, migrations: () => readonly SnapshotMigration[]) {
    this.#store = store;
    this.#hosts = hosts;
    this.#migrations = migrations;
  }

  /**
   * What a migration would do. The hosts that it is certain to concern are asked anew; that one does not answer is part of the plan.
   * @throws SealiftError not_found, same_host, invalid_request
   */
  async plan(name: string, order: MigrationOrder): Promise<MigrationPlan> {
    const vm = await this.#find(name);
    const concerned = [vm.host, ...(order.to === undefined ? [] : [order.to])].map((host) => this.#hosts.get(host));
    await Promise.all(concerned.map((host) => host.refresh()));
    return (await this.decide(vm, order)).plan;
  }

  /** On the last reports, whenever they were made. @param except hosts that are no candidates */
  async decide(vm: StoredVm, order: MigrationOrder, except?: ReadonlySet<string>): Promise<Decision> {
    const named = order.to === undefined ? [] : [order.to];
    const clusters = new Set([vm.host, ...named].map((host) => this.#hosts.get(host).cluster));
    const snapshot = await takeSnapshot(this.#sources(), { clusters, vms: [vm], alone: vm.name });
    return decide(snapshot, vm.name, order, except);
  }

  /** @throws SealiftError not_found, invalid_request */
  async planDrain(name: string, order: DrainOrder): Promise<DrainPlan> {
    const host = this.#hosts.get(name);
    await host.refresh();
    const snapshot = await takeSnapshot(this.#sources(), { clusters: new Set([host.cluster]), owners: [name] });
    return planDrain(snapshot, name, order);
  }

  /** @throws SealiftError not_found */
  async planBalance(name: string): Promise<BalancePlan> {
    const cluster = await this.#store.policy.getCluster(name);
    if (!cluster) throw new SealiftError('not_found', `there is no cluster ${name}; make it: sealift cluster set ${name}`);
    const owners = this.#hosts.all().filter((host) => host.cluster === name);
    const movedAt = await this.#movedSince(Date.now() - cluster.balance.restMs);
    const scope = { clusters: new Set([name]), owners: owners.map((host) => host.name), movedAt };
    return planBalance(await takeSnapshot(this.#sources(), scope), name);
  }

  /** @throws SealiftError not_found */
  async limits(name: string): Promise<Limits> {
    const cluster = await this.#store.policy.getCluster(name);
    if (!cluster) throw new SealiftError('not_found', `there is no cluster ${name}; make it: sealift cluster set ${name}`);
    const hosts = this.#hosts.all().filter((host) => host.cluster === name);
    return limitsOf(
      cluster,
      hosts.map(({ name: host, current }) => ({ name: host, ...(current && { report: current }) })),
    );
  }

  async #find(name: string): Promise<StoredVm> {
    const vm = await this.#store.getVm(name);
    if (!vm) throw new SealiftError('not_found', `there is no VM ${name}`);
    return vm;
  }

  #sources() {
    return { store: this.#store, hosts: this.#hosts, migrations: this.#migrations() };
  }

  /** VMs of which a migration was completed since then, and when. */
  async #movedSince(since: number): Promise<Map<string, number>> {
    const moved = new Map<string, number>();
    let before: string | undefined;
    for (;;) {
      const migrations = await this.#store.listMigrations({ limit: page, before });
      for (const { migration } of migrations) {
        const { vm, phase, endedAt = 0 } = migration;
        if (phase === 'completed' && endedAt >= since && endedAt > (moved.get(vm) ?? 0)) moved.set(vm, endedAt);
      }
      const last = migrations.at(-1)?.migration;
      if (!last || migrations.length < page || last.orderedAt < since - longestMs) return moved;
      before = last.id;
    }
  }
}
