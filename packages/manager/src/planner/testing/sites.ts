/** Snapshots for tests and benchmarks: hosts and VMs are described, and what hosts would report of them follows. */
import type { HostReport, Move, Rule, VmDefinition, VmState } from '@sealift/contract';
import type { StoredCluster } from '../../store/store.ts';
import { cpusOf, isLive } from '../demand.ts';
import type { Snapshot, SnapshotHost, SnapshotMigration, SnapshotVm } from '../types.ts';

const MiB = 1024 * 1024;

export interface SiteHost extends Partial<Omit<SnapshotHost, 'name' | 'report'>> {
  readonly name: string;
  readonly totalMiB?: number;
  readonly report?: Partial<HostReport>;
  /** It has never answered. */
  readonly silent?: true;
}

export interface SiteVm extends Partial<Omit<SnapshotVm, 'definition' | 'stats'>> {
  readonly name: string;
  readonly host: string;
  readonly definition?: Partial<VmDefinition>;
  /** CPUs' worth that it takes. */
  readonly cpus?: number;
}

export interface SiteOf {
  readonly hosts: readonly SiteHost[];
  readonly vms: readonly SiteVm[];
  readonly migrations?: readonly SnapshotMigration[];
  readonly rules?: readonly Rule[];
  readonly cluster?: Partial<StoredCluster>;
}

export const at = 1_767_225_600_000;

const defaultCluster: StoredCluster = {
  name: 'default',
  encryption: 'opportunistic',
  limits: {},
  balance: { auto: false, bandPercent: 15, restMs: 600_000 },
};

export const ruleOf = (name: string, kind: Rule['kind'], vms: string[], rest: Partial<Rule> = {}): Rule => ({
  name,
  kind,
  vms,
  hosts: [],
  must: false,
  ...rest,
});

export function snapshotOf(site: SiteOf): Snapshot {
  const vms = site.vms.map(vmOf);
  const byHost = new Map<string, SnapshotVm[]>();
  for (const vm of vms) byHost.set(vm.host, [...(byHost.get(vm.host) ?? []), vm]);
  return {
    at,
    hosts: site.hosts.map((host) => hostOf(host, byHost.get(host.name) ?? [])),
    vms,
    migrations: site.migrations ?? [],
    rules: site.rules ?? [],
    clusters: [
      { ...defaultCluster, ...site.cluster },
      { ...defaultCluster, name: 'other' },
    ],
  };
}

/** The site after these moves have been made. */
export const applied = (site: SiteOf, moves: readonly Move[]): SiteOf => {
  const to = new Map(moves.map((move) => [move.vm, move.to]));
  return {
    ...site,
    vms: site.vms.map((vm) => ({ ...vm, host: to.get(vm.name) ?? vm.host, ...(to.has(vm.name) && { movedAt: at }) })),
  };
};

function vmOf({ definition, cpus, ...rest }: SiteVm): SnapshotVm {
  const state: VmState = rest.state ?? 'running';
  return {
    encryption: definition?.encryption ?? 'opportunistic',
    known: true,
    ...rest,
    state,
    definition: {
      name: rest.name,
      memoryMiB: 1024,
      vcpus: 1,
      cpuModel: 'qemu64',
      machine: 'pc-q35-7.2',
      disks: [],
      nics: [],
      ...definition,
    },
    ...(cpus !== undefined && {
      stats: {
        cpus,
        residentBytes: (definition?.memoryMiB ?? 1024) * MiB,
        diskBytesPerSecond: { read: 0, written: 0 },
        networkBytesPerSecond: { received: 0, sent: 0 },
      },
    }),
  };
}

function hostOf({ totalMiB = 65_536, report = {}, silent, ...rest }: SiteHost, vms: readonly SnapshotVm[]): SnapshotHost {
  const base = { cluster: 'default', maintenance: 'none', state: silent ? 'unreachable' : 'connected', ...rest } as const;
  if (silent) return base;
  const reserved = vms.filter(isLive).reduce((sum, vm) => sum + vm.definition.memoryMiB * MiB, 0);
  const cpus = report.cpus ?? 16;
  const used = vms.reduce((sum, vm) => sum + (vm.stats ? cpusOf(vm) : 0), 0);
  return {
    ...base,
    report: {
      name: rest.name,
      version: '0.1.0',
      protocolVersion: 1,
      keyHash: 'ab'.repeat(32),
      qemu: { version: '7.2.22', machines: ['pc-q35-7.2'], accel: 'kvm', capabilities: ['multifd'] },
      cpus,
      memory: { total: totalMiB * MiB, available: totalMiB * MiB - reserved, reserved },
      bridges: ['br0'],
      migrationEndpoints: ['192.0.2.1:8651'], // RFC 5737: documentation, never routed
      canSeal: true,
      cpu: { model: 'Xeon', usable: ['qemu64', 'Nehalem'], missing: { 'Skylake-Server': ['avx512f', 'pcid'] } },
      load: { cpu: used / cpus, linkBytesPerSecond: 0 },
      linkMbps: 10_000,
      vms: vms.map(({ definition, state }) => ({ definition, state, log: '/var/log/vm' })),
      ...report,
    },
  };
}
