/**
 * A store that answers the questions of every moment from memory: which VMs there are and where, what is moving, what holds for clusters. The
 * database decides and is written first; what it has taken is then remembered. For a database that this manager alone writes to.
 */
import type { Keep, Migration, Rule, VmDefinition } from '@sealift/contract';
import type { KyselyStore } from './kysely-store.ts';
import { NameIndex } from './name-index.ts';
import type { PolicyStore, StoredCluster } from './policy.ts';
import type { Keeping } from './pruning.ts';
import type { MigrationPage, Store, StoredHost, StoredMigration, StoredVm, VmPage } from './store.ts';

export class RememberingStore implements Store {
  readonly policy: PolicyStore;
  readonly #inner: KyselyStore;
  readonly #vms = new Map<string, StoredVm>();
  readonly #names = new NameIndex();
  readonly #byHost = new Map<string, NameIndex>();
  /** Unfinished ones, by id, and the id by VM. */
  readonly #migrations = new Map<string, StoredMigration>();
  readonly #moving = new Map<string, string>();

  private constructor(inner: KyselyStore) {
    this.#inner = inner;
    this.policy = new RememberingPolicy(inner.policy);
  }

  static async open(inner: KyselyStore): Promise<RememberingStore> {
    const store = new RememberingStore(inner);
    for (const vm of await inner.listVms()) store.#remember(vm);
    for (const stored of await inner.unfinishedMigrations()) store.#rememberMigration(stored);
    return store;
  }

  get history() {
    return this.#inner.history;
  }

  listHosts = (): Promise<StoredHost[]> => this.#inner.listHosts();
  addHost = (host: StoredHost): Promise<boolean> => this.#inner.addHost(host);
  removeHost = (name: string): Promise<boolean> => this.#inner.removeHost(name);
  hostSeen = (name: string, at: number): Promise<void> => this.#inner.hostSeen(name, at);
  setMaintenance: Store['setMaintenance'] = (name, maintenance) => this.#inner.setMaintenance(name, maintenance);

  async listVms({ limit, after, host }: VmPage = {}): Promise<StoredVm[]> {
    const names = host === undefined ? this.#names : this.#byHost.get(host);
    return (names?.page(after, limit) ?? []).flatMap((name) => this.#vms.get(name) ?? []);
  }

  async knownVms(names: readonly string[]): Promise<string[]> {
    return names.filter((name) => this.#vms.has(name));
  }

  async countVms(): Promise<number> {
    return this.#vms.size;
  }

  async getVm(name: string): Promise<StoredVm | undefined> {
    return this.#vms.get(name);
  }

  async addVm(vm: StoredVm): Promise<boolean> {
    const added = await this.#inner.addVm(vm);
    if (added) this.#remember(asStored(vm));
    return added;
  }

  async changeVm(name: string, definition: VmDefinition): Promise<void> {
    await this.#inner.changeVm(name, definition);
    const known = this.#vms.get(name);
    if (known) this.#vms.set(name, { ...known, definition: asStored(definition) });
  }

  async removeVm(name: string): Promise<void> {
    await this.#inner.removeVm(name);
    const known = this.#vms.get(name);
    if (!known) return;
    this.#vms.delete(name);
    this.#names.remove(name);
    this.#byHost.get(known.host)?.remove(name);
  }

  listMigrations = (page?: MigrationPage): Promise<StoredMigration[]> => this.#inner.listMigrations(page);

  async unfinishedMigrations(): Promise<StoredMigration[]> {
    return [...this.#migrations.values()];
  }

  async getMigration(id: string): Promise<StoredMigration | undefined> {
    return this.#migrations.get(id) ?? this.#inner.getMigration(id);
  }

  async migrationOf(vm: string): Promise<StoredMigration | undefined> {
    const id = this.#moving.get(vm);
    return id === undefined ? undefined : this.#migrations.get(id);
  }

  async addMigration(stored: StoredMigration): Promise<boolean> {
    const added = await this.#inner.addMigration(stored);
    const { parent: _, migration, ...rest } = stored;
    const { progress: __, ...course } = migration;
    if (added) this.#rememberMigration(asStored({ ...rest, migration: course }));
    return added;
  }

  async migrationBegins(id: string, at: number): Promise<void> {
    await this.#inner.migrationBegins(id, at);
    const known = this.#migrations.get(id);
    if (known) this.#migrations.set(id, { ...known, begunAt: at });
  }

  async updateMigration(migration: Migration, vmHost?: string): Promise<void> {
    await this.#inner.updateMigration(migration, vmHost);
    const { id, vm, phase, endedAt, result, failure } = migration;
    const known = this.#migrations.get(id);
    if (!known) return; // it has ended, which is final
    if (vmHost !== undefined) this.#move(vm, vmHost);
    if (endedAt !== undefined) {
      this.#migrations.delete(id);
      if (this.#moving.get(vm) === id) this.#moving.delete(vm);
      return;
    }
    const { result: _, failure: __, ...before } = known.migration;
    const course = asStored({ ...before, phase, ...(result && { result }), ...(failure && { failure }) });
    this.#migrations.set(id, { ...known, migration: course });
  }

  async addResolution(id: string, keep: Keep, at: number): Promise<boolean> {
    const added = await this.#inner.addResolution(id, keep, at);
    if (added) await this.#readAgain(id);
    return added;
  }

  async removeResolution(id: string): Promise<void> {
    await this.#inner.removeResolution(id);
    await this.#readAgain(id);
  }

  async resolutionHeard(id: string, side: Keep, at: number, refused?: string): Promise<void> {
    await this.#inner.resolutionHeard(id, side, at, refused);
    await this.#readAgain(id);
  }

  untoldResolutions = (): Promise<StoredMigration[]> => this.#inner.untoldResolutions();
  prune = (keeping: Keeping): Promise<number> => this.#inner.prune(keeping);
  close = (): Promise<void> => this.#inner.close();

  #remember(vm: StoredVm): void {
    this.#vms.set(vm.name, vm);
    this.#names.add(vm.name);
    this.#on(vm.host).add(vm.name);
  }

  #move(name: string, host: string): void {
    const known = this.#vms.get(name);
    if (!known || known.host === host) return;
    this.#byHost.get(known.host)?.remove(name);
    this.#vms.set(name, { ...known, host });
    this.#on(host).add(name);
  }

  #on(host: string): NameIndex {
    let names = this.#byHost.get(host);
    if (!names) {
      names = new NameIndex();
      this.#byHost.set(host, names);
    }
    return names;
  }

  #rememberMigration(stored: StoredMigration): void {
    const { id, vm } = stored.migration;
    this.#migrations.set(id, stored);
    this.#moving.set(vm, id);
  }

  /** Decisions are rare, and have columns of their own. */
  async #readAgain(id: string): Promise<void> {
    const stored = await this.#inner.getMigration(id);
    if (stored && this.#migrations.has(id)) this.#migrations.set(id, stored);
  }
}

/** Read once, and again after each change. */
class RememberingPolicy implements PolicyStore {
  readonly #inner: PolicyStore;
  #clusters: Promise<StoredCluster[]> | undefined;
  #rules: Promise<Rule[]> | undefined;

  constructor(inner: PolicyStore) {
    this.#inner = inner;
  }

  async listClusters(): Promise<StoredCluster[]> {
    this.#clusters ??= this.#unlessFailed(this.#inner.listClusters());
    return [...(await this.#clusters)];
  }

  async getCluster(name: string): Promise<StoredCluster | undefined> {
    return (await this.listClusters()).find((cluster) => cluster.name === name);
  }

  setCluster = (cluster: StoredCluster): Promise<void> => this.#forget(this.#inner.setCluster(cluster));
  removeCluster = (name: string): Promise<boolean> => this.#forget(this.#inner.removeCluster(name));

  async listRules(): Promise<Rule[]> {
    this.#rules ??= this.#unlessFailed(this.#inner.listRules());
    return [...(await this.#rules)];
  }

  setRule = (rule: Rule): Promise<void> => this.#forget(this.#inner.setRule(rule));
  removeRule = (name: string): Promise<boolean> => this.#forget(this.#inner.removeRule(name));

  async #forget<T>(write: Promise<T>): Promise<T> {
    try {
      return await write;
    } finally {
      this.#readAnew();
    }
  }

  /** A database that is busy for once is not busy for good. */
  async #unlessFailed<T>(read: Promise<T>): Promise<T> {
    try {
      return await read;
    } catch (error) {
      this.#readAnew();
      throw error;
    }
  }

  #readAnew(): void {
    this.#clusters = undefined;
    this.#rules = undefined;
  }
}

/** As it is read back: what is undefined is not there, and what the caller does to its own afterwards changes nothing. */
const asStored = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
