/** Makes the snapshot that is planned on, from what hosts last said and what the store holds. */
import type { AgentVm, EncryptionMode, VmDefinition } from '@sealift/contract';
import type { Hosts } from '../agents/hosts.ts';
import type { MonitoredHost } from '../agents/monitor.ts';
import { effectiveEncryption } from '../clusters/clusters.ts';
import type { Store, StoredVm } from '../store/store.ts';
import type { Snapshot, SnapshotHost, SnapshotMigration, SnapshotVm } from './types.ts';

export interface Sources {
  readonly store: Store;
  readonly hosts: Hosts;
  /** Migrations that have not ended. */
  readonly migrations: readonly SnapshotMigration[];
}

export interface Scope {
  /** Of which clusters. */
  readonly clusters: ReadonlySet<string>;
  /** Of these VMs the manager's word counts: where they are and how they are defined. Of all others, what hosts say is taken as it is. */
  readonly vms?: readonly StoredVm[];
  /** The VMs of these hosts are to be moved, so that the manager's word counts for all of them. */
  readonly owners?: readonly string[];
  /**
   * Only this VM is to be placed. Of the others those are left out that nothing depends on: hosts say themselves what they have left, so that it is
   * those in a rule with it, those that move, and all of a host that does not say how loaded it is.
   */
  readonly alone?: string;
  /** When VMs were last moved, where that is of interest. */
  readonly movedAt?: ReadonlyMap<string, number>;
}

export async function takeSnapshot({ store, hosts, migrations }: Sources, scope: Scope): Promise<Snapshot> {
  const [rules, clusters] = await Promise.all([store.policy.listRules(), store.policy.listClusters()]);
  const owners = new Set(scope.owners);
  const stored = [...(scope.vms ?? []), ...(await Promise.all([...owners].map((host) => store.listVms({ host })))).flat()];
  const own = new Map(stored.map((vm) => [vm.name, vm]));
  const { alone } = scope;
  const mates = new Set(alone === undefined ? [] : rules.flatMap(({ vms: all }) => (all.includes(alone) ? all : [])));
  const few = new Set([...own.keys(), ...mates]);
  // Of the copies of a VM that moves, its source's is the VM.
  const leaving = Map.groupBy(
    migrations.flatMap(({ vm, from }) => (few.has(vm) ? [] : { vm, from })),
    ({ from }) => from,
  );
  const moving = new Map(migrations.map((migration) => [migration.vm, migration]));
  const modes = new Map(clusters.map((cluster) => [cluster.name, cluster.encryption]));
  const modeOf = (definition: VmDefinition, cluster: string): EncryptionMode =>
    effectiveEncryption(definition, modes.get(cluster) ?? 'opportunistic').mode;
  const watched = hosts.all();
  const inScope = watched.filter((host) => scope.clusters.has(host.cluster));
  const among = new Set(inScope.map((host) => host.name));
  // A VM may be on its way here from a host that is not.
  const beside = new Set(migrations.filter(({ from, to }) => among.has(to) && !among.has(from)).map(({ from }) => from));
  const snapshotHosts: SnapshotHost[] = [];
  const vms = new Map<string, SnapshotVm>();

  const see = (host: MonitoredHost, state: SnapshotHost['state'], vm: AgentVm): void => {
    const { name } = vm.definition;
    const known = own.get(name);
    const migration = moving.get(name);
    // Of a VM's copies one is the VM: its source's while it moves, otherwise the one that the manager has.
    const copy = migration ? migration.from !== host.name : vm.state === 'moving-in' || (known !== undefined && known.host !== host.name);
    if (copy) return;
    const definition = known?.definition ?? vm.definition;
    const { stats, disks, adopted, immovable } = vm;
    vms.set(name, {
      name,
      host: host.name,
      definition,
      encryption: modeOf(definition, host.cluster),
      state: state === 'connected' ? vm.state : 'unknown',
      known: known !== undefined || !owners.has(host.name),
      ...(stats && { stats }),
      ...(disks && { disks }),
      ...(adopted !== undefined && { adopted }),
      ...(immovable && { immovable }),
      ...movedAtOf(name),
    });
  };
  const movedAtOf = (vm: string): { movedAt?: number } => {
    const movedAt = scope.movedAt?.get(vm);
    return movedAt === undefined ? {} : { movedAt };
  };

  for (const host of watched) {
    const isIn = among.has(host.name);
    if (!isIn && !beside.has(host.name)) continue;
    const { state, report } = await host.standing();
    if (isIn) {
      const { name, cluster, maintenance } = host;
      snapshotHosts.push({ name, cluster, maintenance, state, ...(report && { report }) });
    }
    if (alone === undefined || report?.load === undefined) {
      for (const vm of report?.vms ?? []) see(host, state, vm);
    } else {
      for (const name of [...few, ...(leaving.get(host.name) ?? []).map(({ vm }) => vm)]) {
        const vm = host.vmCalled(name);
        if (vm) see(host, state, vm);
      }
    }
  }
  // What its host does not report.
  for (const { name, host, definition } of own.values()) {
    if (vms.has(name)) continue;
    const cluster = hosts.find(host)?.cluster ?? '';
    vms.set(name, { name, host, definition, encryption: modeOf(definition, cluster), state: 'unknown', known: true, ...movedAtOf(name) });
  }
  const relevant = migrations.filter(({ from, to }) => among.has(from) || among.has(to));
  return { at: Date.now(), hosts: snapshotHosts, vms: [...vms.values()], migrations: relevant, rules, clusters };
}
