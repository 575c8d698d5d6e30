/** A snapshot made ready to plan on: looked up by name, with what is under way counted in, and changed by each move that is planned. */
import { type HostLoad, type HostReport, type Rule, SealiftError } from '@sealift/contract';
import type { StoredCluster } from '../store/store.ts';
import { cpusOf, isLive, linkSpeedOf, memoryOf } from './demand.ts';
import { type Limits, limitsOf } from './limits.ts';
import type { Snapshot, SnapshotHost, SnapshotMigration, SnapshotVm } from './types.ts';

/** Of VMs that a report names, whatever their state. Reports do not change, and many snapshots are taken of the same. */
const namesByReport = new WeakMap<HostReport, ReadonlySet<string>>();

function namesIn(report: HostReport): ReadonlySet<string> {
  let names = namesByReport.get(report);
  if (!names) {
    names = new Set(report.vms.map(({ definition }) => definition.name));
    namesByReport.set(report, names);
  }
  return names;
}

const none: ReadonlySet<string> = new Set();

export class WorldHost {
  readonly name: string;
  readonly cluster: string;
  readonly state: SnapshotHost['state'];
  readonly report: HostReport | undefined;
  /** Of VMs that it reports, whatever their state. */
  readonly has: ReadonlySet<string>;
  maintenance: SnapshotHost['maintenance'];
  /** Bytes that another VM may still be given; what is on its way here is taken off already. */
  free: number;
  /** Bytes that VMs hold, and those on their way here will. */
  held: number;
  /** CPUs' worth in use. */
  cpus: number;
  /** Of migrations that have not ended, out of it and into it. */
  migrations = 0;

  constructor({ name, cluster, state, report, maintenance }: SnapshotHost) {
    this.name = name;
    this.cluster = cluster;
    this.state = state;
    this.report = report;
    this.maintenance = maintenance;
    this.has = report ? namesIn(report) : none;
    this.free = report?.memory.available ?? 0;
    this.held = report ? report.memory.total - report.memory.available : 0;
    this.cpus = 0;
  }

  /** May it be given VMs, as far as its own state goes? */
  get open(): boolean {
    return this.state === 'connected' && this.maintenance === 'none' && this.report !== undefined;
  }

  /** With this much on top. */
  load(cpus = 0, bytes = 0): HostLoad {
    const { report } = this;
    if (!report) return { cpu: 0, memory: 0, link: 0 };
    const speed = linkSpeedOf(report);
    return {
      cpu: rounded((this.cpus + cpus) / Math.max(1, report.cpus)),
      memory: rounded((this.held + bytes) / Math.max(1, report.memory.total)),
      link: speed ? rounded((report.load?.linkBytesPerSecond ?? 0) / speed) : 0,
    };
  }
}

export class World {
  readonly at: number;
  readonly hosts = new Map<string, WorldHost>();
  readonly vms = new Map<string, SnapshotVm>();
  readonly migrations = new Map<string, SnapshotMigration>();
  readonly #rules = new Map<string, Rule[]>();
  readonly #clusters: ReadonlyMap<string, StoredCluster>;
  readonly #limits = new Map<string, Limits>();
  readonly #clusterMigrations = new Map<string, number>();
  /** Where a VM has been planned to go. */
  readonly #moved = new Map<string, string>();

  constructor(snapshot: Snapshot) {
    this.at = snapshot.at;
    this.#clusters = new Map(snapshot.clusters.map((cluster) => [cluster.name, cluster]));
    for (const host of snapshot.hosts) this.hosts.set(host.name, new WorldHost(host));
    for (const vm of snapshot.vms) this.vms.set(vm.name, vm);
    for (const rule of snapshot.rules) {
      for (const vm of new Set(rule.vms)) this.#rules.set(vm, [...(this.#rules.get(vm) ?? []), rule]);
    }
    this.#countCpus();
    for (const migration of snapshot.migrations) this.#countMigration(migration);
    for (const cluster of snapshot.clusters) {
      this.#limits.set(
        cluster.name,
        limitsOf(
          cluster,
          snapshot.hosts.filter((host) => host.cluster === cluster.name),
        ),
      );
    }
  }

  /** @throws SealiftError not_found */
  host(name: string): WorldHost {
    const host = this.hosts.get(name);
    if (!host) throw new SealiftError('not_found', `there is no host ${name}; add it first`);
    return host;
  }

  /** @throws SealiftError not_found */
  vm(name: string): SnapshotVm {
    const vm = this.vms.get(name);
    if (!vm) throw new SealiftError('not_found', `there is no VM ${name}`);
    return vm;
  }

  /** @throws SealiftError not_found */
  cluster(name: string): StoredCluster {
    const cluster = this.#clusters.get(name);
    if (!cluster) throw new SealiftError('not_found', `there is no cluster ${name}; make it: sealift cluster set ${name}`);
    return cluster;
  }

  baselineOf(host: WorldHost): string | undefined {
    return this.#clusters.get(host.cluster)?.cpuBaseline;
  }

  /** In a cluster, by name. */
  hostsOf(cluster: string): WorldHost[] {
    return [...this.hosts.values()].filter((host) => host.cluster === cluster).sort(byName);
  }

  rulesOf(vm: string): readonly Rule[] {
    return this.#rules.get(vm) ?? [];
  }

  limitsOf(cluster: string): Limits {
    return this.#limits.get(cluster) ?? limitsOf({ limits: {} }, []);
  }

  migrationsIn(cluster: string): number {
    return this.#clusterMigrations.get(cluster) ?? 0;
  }

  /** The host that a VM is on after the moves that are planned; of one that moves, where it goes. Undefined: it is off, or nobody has it. */
  placeOf(vm: string): string | undefined {
    const known = this.vms.get(vm);
    if (!known || !isLive(known)) return undefined;
    return this.#moved.get(vm) ?? this.migrations.get(vm)?.to ?? known.host;
  }

  /** Is it on this host, or may it be yet? */
  isOn(vm: string, host: string): boolean {
    return this.placeOf(vm) === host || this.migrations.get(vm)?.from === host;
  }

  /** As if the VM were there. @returns how to take it back */
  move(vm: SnapshotVm, to: WorldHost): () => void {
    const from = this.hosts.get(this.placeOf(vm.name) ?? vm.host);
    const before = this.#moved.get(vm.name);
    const shift = (sign: 1 | -1): void => {
      if (from) this.#add(from, vm, -sign);
      this.#add(to, vm, sign);
    };
    shift(1);
    this.#moved.set(vm.name, to.name);
    return () => {
      shift(-1);
      if (before === undefined) this.#moved.delete(vm.name);
      else this.#moved.set(vm.name, before);
    };
  }

  #add(host: WorldHost, vm: SnapshotVm, sign: number): void {
    host.cpus += sign * cpusOf(vm);
    host.held += sign * memoryOf(vm);
    host.free -= sign * memoryOf(vm);
  }

  /** What a host says of its CPUs counts; where it says nothing, what its VMs take together. */
  #countCpus(): void {
    for (const host of this.hosts.values()) host.cpus = (host.report?.load?.cpu ?? 0) * (host.report?.cpus ?? 0);
    for (const vm of this.vms.values()) {
      const host = this.hosts.get(vm.host);
      if (host && !host.report?.load) host.cpus += cpusOf(vm);
    }
  }

  /** A VM that moves still has its memory at its source, and may come back; its work counts where it goes. */
  #countMigration(migration: SnapshotMigration): void {
    const { vm: name, from, to } = migration;
    this.migrations.set(name, migration);
    const [source, target] = [this.hosts.get(from), this.hosts.get(to)];
    for (const host of [source, target]) if (host) host.migrations += 1;
    for (const cluster of new Set([source?.cluster, target?.cluster])) {
      if (cluster !== undefined) this.#clusterMigrations.set(cluster, this.migrationsIn(cluster) + 1);
    }
    const vm = this.vms.get(name);
    if (!vm) return;
    if (source) {
      source.cpus = Math.max(0, source.cpus - cpusOf(vm));
      source.held -= memoryOf(vm);
    }
    if (!target) return;
    target.cpus += cpusOf(vm);
    if (target.has.has(name)) return;
    target.held += memoryOf(vm);
    target.free -= memoryOf(vm);
  }
}

export const byName = (a: { readonly name: string }, b: { readonly name: string }): number => (a.name < b.name ? -1 : 1);

/** Sums of the same parts in another order differ in their last digits, and no plan shall depend on that. */
const rounded = (value: number): number => Math.max(0, Math.round(value * 1e6) / 1e6);
