/** How hosts, VMs and migrations are at the moment of a scrape. Of a host that does not answer only that is said: old figures are no figures. */
import { finalPhases, type HostReport, type Migration, MigrationPhase, Suite, VmState } from '@sealift/contract';
import { Gauge, type Registry } from 'prom-client';
import type { MonitoredHost } from '../agents/monitor.ts';

export interface Sources {
  readonly hosts: { all(): readonly Pick<MonitoredHost, 'name' | 'cluster' | 'maintenance' | 'current'>[] };
  readonly migrations: { list(page: { readonly running: true }): Promise<readonly Pick<Migration, 'suite' | 'phase'>[]> };
  readonly store: { countVms(): Promise<number> };
}

/** What a host that answers says, each as a gauge; undefined where it does not say. */
const figures: readonly (readonly [name: string, help: string, of: (report: HostReport) => number | undefined])[] = [
  ['sealift_host_cpus', 'CPUs', ({ cpus }) => cpus],
  ['sealift_host_cpu_usage_ratio', "Of all of the host's CPUs, over the last few seconds: 0 to 1", ({ load }) => load?.cpu],
  ['sealift_host_memory_total_bytes', 'Memory for VMs', ({ memory }) => memory.total],
  ['sealift_host_memory_reserved_bytes', 'Memory that VMs hold, running or moving in', ({ memory }) => memory.reserved],
  ['sealift_host_memory_available_bytes', 'Memory that another VM may still be given', ({ memory }) => memory.available],
  ['sealift_host_vms', 'VMs on the host, whatever their state', ({ vms }) => vms.length],
  ['sealift_host_can_seal', 'Whether it can seal migrations: 1 or 0', ({ canSeal }) => Number(canSeal)],
  [
    'sealift_host_link_usage_bytes_per_second',
    'What its migration links carry, over the last few seconds',
    ({ load }) => load?.linkBytesPerSecond,
  ],
  [
    'sealift_host_link_speed_bytes_per_second',
    'What its migration links can carry together',
    ({ linkMbps }) => linkMbps && (linkMbps * 1e6) / 8,
  ],
];

const goingOn = MigrationPhase.anyOf.map((phase) => phase.const).filter((phase) => !finalPhases.includes(phase));

const ofHost = ['host', 'cluster'] as const;

export class Fleet {
  readonly #sources: Sources;
  readonly #up;
  readonly #maintenance;
  readonly #figures;
  readonly #vms;
  readonly #known;
  readonly #running;

  constructor(registry: Registry, sources: Sources) {
    this.#sources = sources;
    const registers = [registry];
    this.#up = new Gauge({ name: 'sealift_host_up', help: 'Whether its agent answers: 1 or 0', labelNames: ofHost, registers });
    this.#maintenance = new Gauge({
      name: 'sealift_host_maintenance',
      help: '1 for the state that it is in: none, draining or maintenance',
      labelNames: [...ofHost, 'state'],
      registers,
    });
    this.#figures = figures.map(([name, help, of]) => ({ gauge: new Gauge({ name, help, labelNames: ofHost, registers }), of }));
    this.#vms = new Gauge({
      name: 'sealift_vms',
      help: 'VMs by state, as hosts that answer have them; one that moves is counted at both ends',
      labelNames: ['state'],
      registers,
    });
    this.#known = new Gauge({ name: 'sealift_vms_known', help: 'VMs that the manager has, whether or not their host answers', registers });
    this.#running = new Gauge({
      name: 'sealift_migrations_running',
      help: 'Migrations that have not ended',
      labelNames: ['suite', 'phase'],
      registers,
    });
  }

  /** Sets every gauge anew. */
  async look(): Promise<void> {
    const { hosts, migrations, store } = this.#sources;
    const [moving, known] = await Promise.all([migrations.list({ running: true }), store.countVms()]);
    // From here on without a pause: two scrapes at once do not mix.
    this.#known.set(known);
    this.#running.reset();
    for (const suite of Suite.anyOf) {
      for (const phase of goingOn) this.#running.set({ suite: suite.const, phase }, 0);
    }
    for (const { suite, phase } of moving) this.#running.inc({ suite, phase });
    this.#lookAtHosts(hosts.all());
  }

  #lookAtHosts(hosts: ReturnType<Sources['hosts']['all']>): void {
    const states = new Map<string, number>(VmState.anyOf.map((state) => [state.const, 0]));
    for (const gauge of [this.#up, this.#maintenance, ...this.#figures.map(({ gauge }) => gauge)]) gauge.reset();
    for (const { name: host, cluster, maintenance, current: report } of hosts) {
      this.#up.set({ host, cluster }, report ? 1 : 0);
      this.#maintenance.set({ host, cluster, state: maintenance }, 1);
      if (!report) continue;
      for (const { gauge, of } of this.#figures) {
        const figure = of(report);
        if (figure !== undefined) gauge.set({ host, cluster }, figure);
      }
      for (const { state } of report.vms) states.set(state, (states.get(state) ?? 0) + 1);
    }
    for (const [state, count] of states) this.#vms.set({ state }, count);
  }
}
