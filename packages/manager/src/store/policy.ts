/** What administrators have set: clusters and rules. */
import type { BalancePolicy, Cluster, ConcurrencyLimits, EncryptionMode, Rule } from '@sealift/contract';
import type { Kysely, Selectable } from 'kysely';
import type { Tables } from './schema.ts';
import { deletedSome, type Refusals } from './sql.ts';
import type { Writes } from './writes.ts';

export type StoredCluster = Omit<Cluster, 'hosts'>;

export interface PolicyStore {
  /** By name; `default` is always there. */
  listClusters(): Promise<StoredCluster[]>;
  getCluster(name: string): Promise<StoredCluster | undefined>;
  setCluster(cluster: StoredCluster): Promise<void>;
  /** @returns false where a host is in it */
  removeCluster(name: string): Promise<boolean>;

  /** By name. */
  listRules(): Promise<Rule[]>;
  setRule(rule: Rule): Promise<void>;
  /** @returns false where there is none */
  removeRule(name: string): Promise<boolean>;
}

export class KyselyPolicy implements PolicyStore {
  readonly #db: Kysely<Tables>;
  readonly #writes: Writes;
  readonly #refusals: Refusals;

  constructor(db: Kysely<Tables>, writes: Writes, refusals: Refusals) {
    this.#db = db;
    this.#writes = writes;
    this.#refusals = refusals;
  }

  async listClusters(): Promise<StoredCluster[]> {
    return (await this.#db.selectFrom('clusters').selectAll().orderBy('name').execute()).map(clusterOf);
  }

  async getCluster(name: string): Promise<StoredCluster | undefined> {
    const row = await this.#db.selectFrom('clusters').selectAll().where('name', '=', name).executeTakeFirst();
    return row && clusterOf(row);
  }

  async setCluster({ name, encryption, cpuBaseline, limits, balance }: StoredCluster): Promise<void> {
    const settings = { encryption, cpu_baseline: cpuBaseline ?? null, limits: JSON.stringify(limits), balance: JSON.stringify(balance) };
    await this.#writes.run((db) =>
      db
        .insertInto('clusters')
        .values({ name, ...settings })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(settings))
        .execute(),
    );
  }

  removeCluster(name: string): Promise<boolean> {
    return this.#refusals.unlessRefused((db) => db.deleteFrom('clusters').where('name', '=', name).execute());
  }

  async listRules(): Promise<Rule[]> {
    const rows = await this.#db.selectFrom('rules').selectAll().orderBy('name').execute();
    return rows.map(({ rule }) => JSON.parse(rule) as Rule); // what setRule wrote
  }

  async setRule(value: Rule): Promise<void> {
    const rule = JSON.stringify(value);
    await this.#writes.run((db) =>
      db
        .insertInto('rules')
        .values({ name: value.name, rule })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ rule }))
        .execute(),
    );
  }

  async removeRule(name: string): Promise<boolean> {
    return deletedSome(await this.#writes.run((db) => db.deleteFrom('rules').where('name', '=', name).executeTakeFirst()));
  }
}

// The casts: these columns hold what this file wrote there, which had these types.
const clusterOf = (row: Selectable<Tables['clusters']>): StoredCluster => ({
  name: row.name,
  encryption: row.encryption as EncryptionMode,
  ...(row.cpu_baseline !== null && { cpuBaseline: row.cpu_baseline }),
  limits: JSON.parse(row.limits) as ConcurrencyLimits,
  balance: JSON.parse(row.balance) as BalancePolicy,
});
