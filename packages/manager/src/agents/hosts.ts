/** The hosts: which there are, how to reach each, and what each last said of itself. */
import { type Host, type HostRegistration, type HostReport, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Events } from '../events/events.ts';
import type { NamePage, Store, StoredHost } from '../store/store.ts';
import { Alike } from './alike.ts';
import { Gate } from './gate.ts';
import type { Identity } from './identity.ts';
import { AgentLink } from './link.ts';
import { type Greet, MonitoredHost, namesOf, type Watch } from './monitor.ts';
import { Whereabouts } from './whereabouts.ts';

/** Names in one query; SQLite takes 32,766 (https://sqlite.org/limits.html, SQLITE_MAX_VARIABLE_NUMBER). */
const lookUp = 10_000;
/** Hosts that are greeted for the first time, or again after they fell silent, at the same moment. */
const greeted = 48;

/** What is the same for every site. */
type SiteWatch = Omit<Watch, 'whereabouts' | 'alike' | 'gate' | 'count'>;

export class Hosts {
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #log: Logger;
  readonly #greet: Greet;
  readonly #events: Events;
  readonly #watch: Watch;
  readonly #hosts = new Map<string, MonitoredHost>();
  /** By name; made anew when one has come or gone. */
  #sorted: MonitoredHost[] | undefined;
  /** Those that have not answered, or failed to, since the manager started. */
  readonly #unsettled = new Set<MonitoredHost>();
  /** What they have, as far as they answer. */
  readonly whereabouts = new Whereabouts();

  constructor(identity: Identity, site: SiteWatch) {
    const watch: Watch = {
      ...site,
      whereabouts: this.whereabouts,
      alike: new Alike(),
      gate: new Gate(greeted),
      count: () => this.#hosts.size,
    };
    this.#watch = watch;
    this.#store = watch.store;
    this.#identity = identity;
    this.#log = watch.log;
    this.#greet = watch.greet;
    this.#events = watch.events;
  }

  /** Takes up every host of the store. */
  async open(): Promise<void> {
    for (const stored of await this.#store.listHosts()) this.#monitor(stored, this.#linkTo(stored));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.close()));
  }

  /** By name. */
  async list({ limit, after = '', cluster }: NamePage & { readonly cluster?: string | undefined } = {}): Promise<Host[]> {
    const hosts = this.all().filter((host) => host.name > after && (cluster === undefined || host.cluster === cluster));
    const page = hosts.slice(0, limit);
    const standings = await Promise.all(page.map(async (host) => ({ host, standing: await host.standing() })));
    const names = standings.flatMap(({ standing }) => namesOf(standing));
    const known = new Set<string>();
    for (let from = 0; from < names.length; from += lookUp) {
      for (const name of await this.#store.knownVms(names.slice(from, from + lookUp))) known.add(name);
    }
    return standings.map(({ host, standing }) => host.viewOf(standing, known));
  }

  /** By name, as they are watched. */
  all(): readonly MonitoredHost[] {
    this.#sorted ??= [...this.#hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return this.#sorted;
  }

  /** When each has answered, or failed to, at least once. */
  async settled(): Promise<void> {
    while (this.#unsettled.size > 0) await Promise.all([...this.#unsettled].map((host) => host.standing()));
  }

  find(name: string): MonitoredHost | undefined {
    return this.#hosts.get(name);
  }

  /** @throws SealiftError not_found */
  get(name: string): MonitoredHost {
    const host = this.find(name);
    if (!host) throw new SealiftError('not_found', `there is no host ${name}; add it first`);
    return host;
  }

  /**
   * Adds a host after asking its agent, and takes over the VMs that it already has.
   * @throws SealiftError agent_unreachable, already_exists, invalid_request; nothing is changed then
   */
  async add({ name, endpoint, cluster = 'default' }: HostRegistration): Promise<Host> {
    if (this.#hosts.has(name)) throw new SealiftError('already_exists', `host ${name} is already there`);
    if (!(await this.#store.policy.getCluster(cluster))) throw noCluster(cluster, name);
    const link = this.#linkTo({ name, endpoint });
    let added = false;
    try {
      // It may have been here before, and have missed a decision meanwhile.
      await this.#greet.before(link);
      const report = await link.report();
      const stored = await this.#accept(link, report, cluster);
      added = true;
      const host = this.#monitor(stored, link, report);
      this.#log.info({ host: name, endpoint, cluster, keyHash: stored.keyHash }, 'host added');
      const message = `host ${name} (${endpoint}) was added to cluster ${cluster}`;
      this.#events.publish({ type: 'host.added', subject: { host: name, cluster }, message });
      return host.view();
    } finally {
      if (!added) await link.close();
    }
  }

  /** @throws SealiftError not_found, wrong_state where VMs or migrations still need it */
  async remove(name: string): Promise<void> {
    const host = this.get(name);
    const moving = (await this.#store.unfinishedMigrations()).find(({ migration }) => migration.from === name || migration.to === name);
    if (moving) {
      const { id, vm } = moving.migration;
      throw new SealiftError('migrating', `migration ${id} of VM ${vm} needs host ${name}; let it end first`, {
        details: { migration: id },
      });
    }
    const draining = (await this.#store.history.unfinishedTasks()).find(({ kind, subject }) => kind === 'drain' && subject.host === name);
    if (draining) {
      const message = `host ${name} is being drained by task ${draining.id}; let that end, or cancel it, first`;
      throw new SealiftError('wrong_state', message, { details: { task: draining.id } });
    }
    if (!(await this.#store.removeHost(name))) {
      const vms = (await this.#store.listVms()).filter((vm) => vm.host === name).map((vm) => vm.name);
      throw new SealiftError('wrong_state', `host ${name} still has ${vms.join(', ')}; move or remove every VM first`);
    }
    this.#hosts.delete(name);
    this.#sorted = undefined;
    await host.close();
    this.whereabouts.forget(name);
    this.#log.info({ host: name }, 'host removed');
    this.#events.publish({ type: 'host.removed', subject: { host: name, cluster: host.cluster }, message: `host ${name} was removed` });
  }

  async #accept(link: AgentLink, report: HostReport, cluster: string): Promise<StoredHost> {
    const { host: name, endpoint, keyHash } = link;
    if (report.name !== name) {
      throw new SealiftError('invalid_request', `name: the agent at ${endpoint} serves host ${report.name}, not ${name}`);
    }
    if (keyHash === undefined || report.keyHash !== keyHash) {
      throw new SealiftError('invalid_request', `host ${name} reports another key than its connection shows; check its --cert and --key`);
    }
    // A VM that is moving in belongs to its source until the migration has completed.
    const owned = report.vms.filter((vm) => vm.state !== 'moving-in').map((vm) => vm.definition);
    for (const { name: vm } of owned) {
      const known = await this.#store.getVm(vm);
      if (!known) continue;
      throw new SealiftError('already_exists', `host ${name} has a VM ${vm}, but VM ${vm} is already known on host ${known.host}`);
    }
    const now = Date.now();
    const stored: StoredHost = { name, endpoint, keyHash, addedAt: now, lastSeenAt: now, cluster, maintenance: 'none' };
    if (!(await this.#store.addHost(stored))) {
      if (!(await this.#store.policy.getCluster(cluster))) throw noCluster(cluster, name);
      throw new SealiftError('already_exists', `host ${name} is already there`);
    }
    for (const definition of owned) await this.#store.addVm({ name: definition.name, host: name, definition, createdAt: now });
    return stored;
  }

  #linkTo(host: { name: string; endpoint: string; keyHash?: string }): AgentLink {
    return new AgentLink(host.name, host.endpoint, this.#identity, host.keyHash);
  }

  #monitor(stored: StoredHost, link: AgentLink, report?: HostReport): MonitoredHost {
    const host = new MonitoredHost(stored, link, this.#watch, report);
    this.#hosts.set(stored.name, host);
    this.#sorted = undefined;
    this.#unsettled.add(host);
    void host.standing().finally(() => this.#unsettled.delete(host));
    return host;
  }
}

const noCluster = (cluster: string, host: string): SealiftError =>
  new SealiftError('not_found', `there is no cluster ${cluster} for host ${host}; make it first: sealift cluster set ${cluster}`);
