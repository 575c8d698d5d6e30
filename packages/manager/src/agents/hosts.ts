/** The hosts: which there are, how to reach each, and what each last said of itself. */
import { type Host, type HostRegistration, type HostReport, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Store, StoredHost } from '../store/store.ts';
import type { Identity } from './identity.ts';
import { AgentLink } from './link.ts';
import { type Greet, MonitoredHost } from './monitor.ts';

export class Hosts {
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #log: Logger;
  readonly #pollMs: number;
  readonly #greet: Greet;
  readonly #hosts = new Map<string, MonitoredHost>();

  /** @param greet called each time a host is asked how it is */
  constructor(store: Store, identity: Identity, log: Logger, pollMs: number, greet: Greet) {
    this.#store = store;
    this.#identity = identity;
    this.#log = log;
    this.#pollMs = pollMs;
    this.#greet = greet;
  }

  /** Takes up every host of the store. */
  async open(): Promise<void> {
    for (const stored of await this.#store.listHosts()) this.#monitor(stored, this.#linkTo(stored));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.close()));
  }

  async list(): Promise<Host[]> {
    const hosts = [...this.#hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return Promise.all(hosts.map((host) => host.view()));
  }

  /** @throws SealiftError not_found */
  get(name: string): MonitoredHost {
    const host = this.#hosts.get(name);
    if (!host) throw new SealiftError('not_found', `there is no host ${name}; add it first`);
    return host;
  }

  /**
   * Adds a host after asking its agent, and takes over the VMs that it already has.
   * @throws SealiftError agent_unreachable, already_exists, invalid_request; nothing is changed then
   */
  async add({ name, endpoint }: HostRegistration): Promise<Host> {
    if (this.#hosts.has(name)) throw new SealiftError('already_exists', `host ${name} is already there`);
    const link = this.#linkTo({ name, endpoint });
    let added = false;
    try {
      // It may have been here before, and have missed a decision meanwhile.
      await this.#greet.before(link);
      const report = await link.report();
      const stored = await this.#accept(link, report);
      added = true;
      const host = this.#monitor(stored, link, report);
      this.#log.info({ host: name, endpoint, keyHash: stored.keyHash }, 'host added');
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
    if (!(await this.#store.removeHost(name))) {
      const vms = (await this.#store.listVms()).filter((vm) => vm.host === name).map((vm) => vm.name);
      throw new SealiftError('wrong_state', `host ${name} still has ${vms.join(', ')}; move or remove every VM first`);
    }
    this.#hosts.delete(name);
    await host.close();
    this.#log.info({ host: name }, 'host removed');
  }

  async #accept(link: AgentLink, report: HostReport): Promise<StoredHost> {
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
    const stored: StoredHost = { name, endpoint, keyHash, addedAt: now, lastSeenAt: now };
    if (!(await this.#store.addHost(stored))) throw new SealiftError('already_exists', `host ${name} is already there`);
    for (const definition of owned) await this.#store.addVm({ name: definition.name, host: name, definition, createdAt: now });
    return stored;
  }

  #linkTo(host: { name: string; endpoint: string; keyHash?: string }): AgentLink {
    return new AgentLink(host.name, host.endpoint, this.#identity, host.keyHash);
  }

  #monitor(stored: StoredHost, link: AgentLink, report?: HostReport): MonitoredHost {
    const host = new MonitoredHost(stored, link, this.#store, this.#log, this.#pollMs, this.#greet, report);
    this.#hosts.set(stored.name, host);
    return host;
  }
}
