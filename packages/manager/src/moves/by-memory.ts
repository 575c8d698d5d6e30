/** Planning by memory alone: every connected host of the cluster that is in service and has room, the emptiest first. */
import type { BalancePlan, Candidate, DrainOrder, DrainPlan, MigrationOrder, MigrationPlan, Move } from '@sealift/contract';
import { SealiftError } from '@sealift/contract';
import type { Hosts } from '../agents/hosts.ts';
import { toLimits } from '../migrations/spec/limits.ts';
import type { Store } from '../store/store.ts';
import type { Planning } from './planning.ts';

export class ByMemory implements Planning {
  readonly #store: Store;
  readonly #hosts: Hosts;

  constructor(store: Store, hosts: Hosts) {
    this.#store = store;
    this.#hosts = hosts;
  }

  async plan(vm: string, { to, limits }: MigrationOrder): Promise<MigrationPlan> {
    const stored = await this.#store.getVm(vm);
    if (!stored) throw new SealiftError('not_found', `there is no VM ${vm}`);
    const all = this.#candidates(stored.host, stored.definition.memoryMiB * 1024 * 1024, new Map());
    const candidates = to === undefined ? all : all.filter(({ host }) => host === to);
    const best = candidates.find(({ eligible }) => eligible);
    return {
      vm,
      from: stored.host,
      ...(best && { to: best.host, suite: 'aes-256-gcm' as const }),
      why: best ? `host ${best.host} has the most memory free` : 'no host has room',
      checks: candidates[0]?.checks ?? [],
      candidates,
      multifdChannels: 2,
      limits: toLimits(limits),
      at: Date.now(),
    };
  }

  async planDrain(host: string, _order: DrainOrder): Promise<DrainPlan> {
    const report = await this.#hosts.get(host).ask();
    const moves: Move[] = [];
    const stays: DrainPlan['stays'] = [];
    const promised = new Map<string, number>();
    for (const { definition, state } of report.vms) {
      if (state !== 'running' && state !== 'paused') continue;
      const vm = definition.name;
      const bytes = definition.memoryMiB * 1024 * 1024;
      const candidates = this.#candidates(host, bytes, promised);
      const to = candidates.find(({ eligible }) => eligible)?.host;
      if (to === undefined) {
        stays.push({ vm, candidates, why: candidates.map(({ checks }) => checks.map(({ reason }) => reason).join(', ')).join('; ') });
      } else {
        promised.set(to, (promised.get(to) ?? 0) + bytes);
        moves.push({ vm, from: host, to, suite: 'aes-256-gcm', why: 'it has the most memory free' });
      }
    }
    return { host, moves, stays, at: Date.now() };
  }

  async planBalance(cluster: string): Promise<BalancePlan> {
    const hosts = (await this.#hosts.list({ cluster })).filter(({ maintenance, report }) => maintenance === 'none' && report);
    const count = (name: string) => hosts.find((host) => host.name === name)?.report?.vms.filter(({ state }) => state === 'running') ?? [];
    const [most, least] = [...hosts]
      .sort((a, b) => count(b.name).length - count(a.name).length)
      .flatMap((h, i, all) => (i === 0 || i === all.length - 1 ? [h.name] : []));
    const moves: Move[] =
      most === undefined || least === undefined || count(most).length - count(least).length < 2
        ? []
        : count(most)
            .slice(0, Math.floor((count(most).length - count(least).length) / 2))
            .map(({ definition }) => ({ vm: definition.name, from: most, to: least, suite: 'aes-256-gcm', why: 'it has fewer VMs' }));
    return { cluster, moves, before: [], after: [], balanced: true, why: moves.length ? 'some have more' : 'even', at: Date.now() };
  }

  async limits(name: string) {
    const cluster = await this.#store.policy.getCluster(name);
    return { perHost: () => cluster?.limits.perHost ?? 4, perCluster: cluster?.limits.perCluster ?? 64 };
  }

  #candidates(from: string, bytes: number, promised: Map<string, number>): Candidate[] {
    const cluster = this.#hosts.get(from).cluster;
    const free = (name: string) => (this.#hosts.get(name).current?.memory.available ?? 0) - (promised.get(name) ?? 0);
    return this.#hosts
      .all()
      .filter((host) => host.name !== from && host.cluster === cluster)
      .sort((a, b) => free(b.name) - free(a.name))
      .map(({ name, maintenance }) => {
        const eligible = maintenance === 'none' && free(name) >= bytes;
        const reason = maintenance === 'none' ? `host ${name} has no room` : `host ${name} is ${maintenance}`;
        return { host: name, eligible, checks: eligible ? [] : [{ name: 'memory', verdict: 'fail', reason }] };
      });
  }
}
