/** The store on any SQL database that Kysely speaks to. */
import type { Keep, Maintenance, Migration, MigrationSpec, Resolution, Task, VmDefinition } from '@sealift/contract';
import type { Kysely, Selectable } from 'kysely';
import { endTask, KyselyHistory, type StoredTask, taskRow } from './history.ts';
import { KyselyPolicy } from './policy.ts';
import { type Keeping, prune } from './pruning.ts';
import type { Tables } from './schema.ts';
import { Refusals } from './sql.ts';
import type { MigrationPage, Store, StoredHost, StoredMigration, StoredVm, VmPage } from './store.ts';
import { Writes } from './writes.ts';

export class KyselyStore implements Store {
  readonly policy: KyselyPolicy;
  readonly history: KyselyHistory;
  readonly #db: Kysely<Tables>;
  readonly #writes: Writes;
  readonly #refusals: Refusals;

  /** @param isConstraint tells the database's refusal of a duplicate or a dangling reference from every other error */
  constructor(db: Kysely<Tables>, isConstraint: (error: unknown) => boolean) {
    this.#db = db;
    this.#writes = new Writes(db);
    this.#refusals = new Refusals(isConstraint, this.#writes);
    this.policy = new KyselyPolicy(db, this.#writes, this.#refusals);
    this.history = new KyselyHistory(db, this.#writes, this.#refusals);
  }

  async listHosts(): Promise<StoredHost[]> {
    const rows = await this.#db.selectFrom('hosts').selectAll().orderBy('name').execute();
    return rows.map((row) => ({
      name: row.name,
      endpoint: row.endpoint,
      keyHash: row.key_hash,
      addedAt: Number(row.added_at),
      ...(row.last_seen_at !== null && { lastSeenAt: Number(row.last_seen_at) }),
      cluster: row.cluster ?? 'default',
      maintenance: row.maintenance as Maintenance, // as setMaintenance wrote it
    }));
  }

  addHost(host: StoredHost): Promise<boolean> {
    const { name, endpoint, keyHash: key_hash, addedAt: added_at, lastSeenAt: last_seen_at = null, cluster, maintenance } = host;
    const row = { name, endpoint, key_hash, added_at, last_seen_at, cluster, maintenance };
    return this.#refusals.unlessRefused((db) => db.insertInto('hosts').values(row).execute());
  }

  removeHost(name: string): Promise<boolean> {
    return this.#refusals.unlessRefused((db) => db.deleteFrom('hosts').where('name', '=', name).execute());
  }

  async hostSeen(name: string, at: number): Promise<void> {
    await this.#writes.run((db) => db.updateTable('hosts').set({ last_seen_at: at }).where('name', '=', name).execute());
  }

  async setMaintenance(name: string, maintenance: Maintenance): Promise<void> {
    await this.#writes.run((db) => db.updateTable('hosts').set({ maintenance }).where('name', '=', name).execute());
  }

  async listVms({ limit, after, host }: VmPage = {}): Promise<StoredVm[]> {
    let query = this.#db.selectFrom('vms').selectAll();
    if (after !== undefined) query = query.where('name', '>', after);
    if (host !== undefined) query = query.where('host', '=', host);
    if (limit !== undefined) query = query.limit(limit);
    return (await query.orderBy('name').execute()).map(vmOf);
  }

  async knownVms(names: readonly string[]): Promise<string[]> {
    if (names.length === 0) return [];
    return (await this.#db.selectFrom('vms').select('name').where('name', 'in', names).execute()).map(({ name }) => name);
  }

  async countVms(): Promise<number> {
    const { count } = await this.#db
      .selectFrom('vms')
      .select(({ fn }) => fn.countAll().as('count'))
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  async getVm(name: string): Promise<StoredVm | undefined> {
    const row = await this.#db.selectFrom('vms').selectAll().where('name', '=', name).executeTakeFirst();
    return row && vmOf(row);
  }

  addVm(vm: StoredVm): Promise<boolean> {
    const { name, host, createdAt: created_at } = vm;
    const row = { name, host, created_at, definition: JSON.stringify(vm.definition) };
    return this.#refusals.unlessRefused((db) => db.insertInto('vms').values(row).execute());
  }

  async changeVm(name: string, definition: VmDefinition): Promise<void> {
    const set = { definition: JSON.stringify(definition) };
    await this.#writes.run((db) => db.updateTable('vms').set(set).where('name', '=', name).execute());
  }

  async removeVm(name: string): Promise<void> {
    await this.#writes.run((db) => db.deleteFrom('vms').where('name', '=', name).execute());
  }

  async listMigrations({ limit, before, vm, host, running }: MigrationPage = {}): Promise<StoredMigration[]> {
    let query = this.#migrations();
    if (vm !== undefined) query = query.where('vm', '=', vm);
    if (host !== undefined) query = query.where((is) => is.or([is('from_host', '=', host), is('to_host', '=', host)]));
    if (running !== undefined) query = query.where('ended_at', running ? 'is' : 'is not', null);
    if (before !== undefined) {
      query = query.where(({ eb, refTuple, selectFrom }) =>
        eb(
          refTuple('ordered_at', 'id'),
          '<',
          selectFrom('migrations as mark')
            .select(['mark.ordered_at', 'mark.id'])
            .where('mark.id', '=', before)
            .$asTuple('ordered_at', 'id'),
        ),
      );
    }
    if (limit !== undefined) query = query.limit(limit);
    return (await query.orderBy('ordered_at', 'desc').orderBy('id', 'desc').execute()).map(migrationOf);
  }

  async unfinishedMigrations(): Promise<StoredMigration[]> {
    return (await this.#migrations().where('ended_at', 'is', null).execute()).map(migrationOf);
  }

  async getMigration(id: string): Promise<StoredMigration | undefined> {
    const row = await this.#migrations().where('id', '=', id).executeTakeFirst();
    return row && migrationOf(row);
  }

  async migrationOf(vm: string): Promise<StoredMigration | undefined> {
    const row = await this.#migrations().where('vm', '=', vm).where('ended_at', 'is', null).executeTakeFirst();
    return row && migrationOf(row);
  }

  addMigration({ migration, spec, begunAt, parent }: StoredMigration): Promise<boolean> {
    const row = {
      id: migration.id,
      vm: migration.vm,
      from_host: migration.from,
      to_host: migration.to,
      spec: JSON.stringify(spec),
      ordered_at: migration.orderedAt,
      begun_at: begunAt ?? null,
      clear_because: migration.clearBecause ?? null,
      ...courseOf(migration),
    };
    return this.#refusals.unlessRefused(async (db) => {
      await db.insertInto('migrations').values(row).execute();
      await db
        .insertInto('tasks')
        .values(taskRow(taskOfMigration(migration, parent)))
        .execute();
    });
  }

  async migrationBegins(id: string, at: number): Promise<void> {
    await this.#writes.run((db) => db.updateTable('migrations').set({ begun_at: at }).where('id', '=', id).execute());
  }

  async updateMigration(migration: Migration, vmHost?: string): Promise<void> {
    await this.#writes.run(async (db) => {
      const unfinished = db.updateTable('migrations').set(courseOf(migration)).where('id', '=', migration.id).where('ended_at', 'is', null);
      if ((await unfinished.executeTakeFirst()).numUpdatedRows === 0n) return;
      if (migration.endedAt !== undefined) await endTask(db, migration.id, taskOfMigration(migration));
      if (vmHost !== undefined) await db.updateTable('vms').set({ host: vmHost }).where('name', '=', migration.vm).execute();
    });
  }

  addResolution(id: string, keep: Keep, at: number): Promise<boolean> {
    const row = { migration: id, keep, decided_at: at };
    return this.#refusals.unlessRefused((db) => db.insertInto('resolutions').values(row).execute());
  }

  async removeResolution(id: string): Promise<void> {
    await this.#writes.run((db) => db.deleteFrom('resolutions').where('migration', '=', id).execute());
  }

  async resolutionHeard(id: string, side: Keep, at: number, refused?: string): Promise<void> {
    const set =
      side === 'source'
        ? { source_heard_at: at, source_refused: refused ?? null }
        : { destination_heard_at: at, destination_refused: refused ?? null };
    await this.#writes.run((db) => db.updateTable('resolutions').set(set).where('migration', '=', id).execute());
  }

  async untoldResolutions(): Promise<StoredMigration[]> {
    const rows = await this.#migrations()
      .where('keep', 'is not', null)
      .where((is) => is.or([is('source_heard_at', 'is', null), is('destination_heard_at', 'is', null)]))
      .execute();
    return rows.map(migrationOf);
  }

  prune(keeping: Keeping): Promise<number> {
    return this.#writes.run((db) => prune(db, keeping));
  }

  async close(): Promise<void> {
    await this.#writes.done();
    await this.#db.destroy();
  }

  #migrations() {
    return this.#db.selectFrom('migrations').leftJoin('resolutions', 'resolutions.migration', 'migrations.id').selectAll();
  }
}

/** The columns that change while a migration runs. */
const courseOf = ({ phase, endedAt, result, failure }: Migration) => ({
  phase,
  ended_at: endedAt ?? null,
  result: result ? JSON.stringify(result) : null,
  failure: failure ? JSON.stringify(failure) : null,
});

/** The task that a migration is. Its progress while it runs is the agents' to say. */
function taskOfMigration({ id, vm, from, to, phase, orderedAt, endedAt, failure }: Migration, parent?: string): StoredTask {
  return {
    id,
    kind: 'migrate',
    title: `move VM ${vm} from host ${from} to host ${to}`,
    subject: { vm, host: from, migration: id },
    state: stateOf(phase, endedAt),
    progress: { done: phase === 'completed' ? 100 : 0, total: 100 },
    startedAt: orderedAt,
    ...(parent !== undefined && { parent }),
    ...(endedAt !== undefined && { endedAt }),
    ...(failure && { failure }),
  };
}

function stateOf(phase: Migration['phase'], endedAt: number | undefined): Task['state'] {
  if (endedAt === undefined) return 'running';
  return phase === 'completed' || phase === 'cancelled' ? phase : 'failed';
}

// The casts below: these columns hold what this file wrote there, which had these types.

const vmOf = (row: Selectable<Tables['vms']>): StoredVm => ({
  name: row.name,
  host: row.host,
  definition: JSON.parse(row.definition) as VmDefinition,
  createdAt: Number(row.created_at),
});

type Nullable<T> = { [K in keyof T]: T[K] | null };
type MigrationRow = Selectable<Tables['migrations']> & Nullable<Selectable<Tables['resolutions']>>;

function migrationOf(row: MigrationRow): StoredMigration {
  const spec = JSON.parse(row.spec) as MigrationSpec;
  const resolution = resolutionOf(row);
  return {
    spec,
    ...(row.begun_at !== null && { begunAt: Number(row.begun_at) }),
    migration: {
      id: row.id,
      vm: row.vm,
      from: row.from_host,
      to: row.to_host,
      suite: spec.suite,
      attempt: spec.attempt,
      phase: row.phase as Migration['phase'],
      orderedAt: Number(row.ordered_at),
      ...(row.clear_because !== null && { clearBecause: row.clear_because }),
      ...(row.ended_at !== null && { endedAt: Number(row.ended_at) }),
      ...(row.result !== null && { result: JSON.parse(row.result) as NonNullable<Migration['result']> }),
      ...(row.failure !== null && { failure: JSON.parse(row.failure) as NonNullable<Migration['failure']> }),
      ...(resolution && { resolution }),
    },
  };
}

function resolutionOf(row: MigrationRow): Resolution | undefined {
  const { keep, decided_at, from_host, to_host, source_heard_at, destination_heard_at, source_refused, destination_refused } = row;
  if (keep === null) return undefined;
  const refused = [
    ...(source_refused === null ? [] : [`${from_host}: ${source_refused}`]),
    ...(destination_refused === null ? [] : [`${to_host}: ${destination_refused}`]),
  ];
  return {
    keep: keep as Keep,
    at: Number(decided_at),
    waitingFor: [...(source_heard_at === null ? [from_host] : []), ...(destination_heard_at === null ? [to_host] : [])],
    ...(refused.length > 0 && { refused }),
  };
}
