/** Clusters: what holds for the hosts and VMs in them. */
import { type Cluster, type ClusterChange, type EncryptionMode, SealiftError, type Vm, type VmDefinition } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Hosts } from '../agents/hosts.ts';
import type { Events } from '../events/events.ts';
import type { Store, StoredCluster } from '../store/store.ts';

const unset: Omit<StoredCluster, 'name'> = {
  encryption: 'opportunistic',
  limits: {},
  balance: { auto: false, bandPercent: 15, restMs: 600_000 },
};

export class Clusters {
  readonly #store: Store;
  readonly #hosts: Hosts;
  readonly #events: Events;
  readonly #log: Logger;

  constructor(store: Store, hosts: Hosts, events: Events, log: Logger) {
    this.#store = store;
    this.#hosts = hosts;
    this.#events = events;
    this.#log = log;
  }

  /** By name. */
  async list(): Promise<Cluster[]> {
    return (await this.#store.policy.listClusters()).map((cluster) => this.#view(cluster));
  }

  /** @throws SealiftError not_found */
  async get(name: string): Promise<Cluster> {
    const stored = await this.#store.policy.getCluster(name);
    if (!stored) throw new SealiftError('not_found', `there is no cluster ${name}; make it: sealift cluster set ${name}`);
    return this.#view(stored);
  }

  /** What the change leaves out stays, or, in a new cluster, becomes the default. */
  async set(name: string, change: ClusterChange): Promise<Cluster> {
    const known = await this.#store.policy.getCluster(name);
    const { cpuBaseline: before, ...rest } = known ?? { name, ...unset };
    const { encryption = rest.encryption, limits = rest.limits, cpuBaseline = before } = change;
    const balance = { ...rest.balance, ...change.balance };
    const cluster: StoredCluster = {
      name,
      encryption,
      limits,
      balance,
      ...(cpuBaseline !== undefined && cpuBaseline !== null && { cpuBaseline }),
    };
    await this.#store.policy.setCluster(cluster);
    this.#log.info({ cluster: name, change }, known ? 'cluster changed' : 'cluster made');
    const message = known ? `cluster ${name} was changed` : `cluster ${name} was made`;
    this.#events.publish({ type: 'cluster.changed', subject: { cluster: name }, message, data: { ...change } });
    return this.#view(cluster);
  }

  /** @throws SealiftError not_found, wrong_state */
  async remove(name: string): Promise<void> {
    const { hosts } = await this.get(name);
    if (name === 'default') throw new SealiftError('wrong_state', 'cluster default is always there; it can be changed, not removed');
    if (hosts.length > 0 || !(await this.#store.policy.removeCluster(name))) {
      const which = hosts.length > 0 ? hosts.join(', ') : 'a host that was added just now';
      throw new SealiftError('wrong_state', `cluster ${name} still has ${which}; remove every host first`, { details: { hosts } });
    }
    this.#log.info({ cluster: name }, 'cluster removed');
    this.#events.publish({ type: 'cluster.changed', subject: { cluster: name }, message: `cluster ${name} was removed` });
  }

  #view(stored: StoredCluster): Cluster {
    const hosts = this.#hosts.all().filter((host) => host.cluster === stored.name);
    return { ...stored, hosts: hosts.map(({ name }) => name) };
  }
}

/** A VM's own mode, or that of the cluster that its host is in. */
export function effectiveEncryption({ encryption }: Pick<VmDefinition, 'encryption'>, ofCluster: EncryptionMode): Vm['encryption'] {
  return encryption === undefined ? { mode: ofCluster, from: 'cluster' } : { mode: encryption, from: 'vm' };
}
