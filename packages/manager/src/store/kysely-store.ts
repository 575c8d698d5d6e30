/** The store on any SQL database that Kysely speaks to. */
import type { Keep, Migration, MigrationSpec, Resolution, VmDefinition } from '@sealift/contract';
import type { Kysely, Selectable } from 'kysely';
import type { Tables } from './schema.ts';
import type { Store, StoredHost, StoredMigration, StoredVm } from './store.ts';

export class KyselyStore implements Store {
  readonly #db: Kysely<Tables>;
  readonly #isConstraint: (error: unknown) => boolean;

  /** @param isConstraint tells the database's refusal of a duplicate or a dangling reference from every other error */
  constructor(db: Kysely<Tables>, isConstraint: (error: unknown) => boolean) {
    this.#db = db;
    this.#isConstraint = isConstraint;
  }

  async listHosts(): Promise<StoredHost[]> {
    const rows = await this.#db.selectFrom('hosts').selectAll().orderBy('name').execute();
    return rows.map((row) => ({
      name: row.name,
      endpoint: row.endpoint,
      keyHash: row.key_hash,
      addedAt: Number(row.added_at),
      ...(row.last_seen_at !== null && { lastSeenAt: Number(row.last_seen_at) }),
    }));
  }

  addHost(host: StoredHost): Promise<boolean> {
    const { name, endpoint, keyHash: key_hash, addedAt: added_at, lastSeenAt: last_seen_at = null } = host;
    return this.#unlessRefused(this.#db.insertInto('hosts').values({ name, endpoint, key_hash, added_at, last_seen_at }));
  }

  removeHost(name: string): Promise<boolean> {
    return this.#unlessRefused(this.#db.deleteFrom('hosts').where('name', '=', name));
  }

  async hostSeen(name: string, at: number): Promise<void> {
    await this.#db.updateTable('hosts').set({ last_seen_at: at }).where('name', '=', name).execute();
  }

  async listVms(): Promise<StoredVm[]> {
    return (await this.#db.selectFrom('vms').selectAll().orderBy('name').execute()).map(vmOf);
  }

  async getVm(name: string): Promise<StoredVm | undefined> {
    const row = await this.#db.selectFrom('vms').selectAll().where('name', '=', name).executeTakeFirst();
    return row && vmOf(row);
  }

  addVm(vm: StoredVm): Promise<boolean> {
    const { name, host, createdAt: created_at } = vm;
    return this.#unlessRefused(this.#db.insertInto('vms').values({ name, host, created_at, definition: JSON.stringify(vm.definition) }));
  }

  async removeVm(name: string): Promise<void> {
    await this.#db.deleteFrom('vms').where('name', '=', name).execute();
  }

  async listMigrations(): Promise<StoredMigration[]> {
    const rows = await this.#migrations().orderBy('ordered_at', 'desc').orderBy('id', 'desc').execute();
    return rows.map(migrationOf);
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

  addMigration({ migration, spec, begunAt }: StoredMigration): Promise<boolean> {
    return this.#unlessRefused(
      this.#db.insertInto('migrations').values({
        id: migration.id,
        vm: migration.vm,
        from_host: migration.from,
        to_host: migration.to,
        spec: JSON.stringify(spec),
        ordered_at: migration.orderedAt,
        begun_at: begunAt ?? null,
        clear_because: migration.clearBecause ?? null,
        ...courseOf(migration),
      }),
    );
  }

  async migrationBegins(id: string, at: number): Promise<void> {
    await this.#db.updateTable('migrations').set({ begun_at: at }).where('id', '=', id).execute();
  }

  async updateMigration(migration: Migration, vmHost?: string): Promise<void> {
    await this.#db.transaction().execute(async (db) => {
      await db.updateTable('migrations').set(courseOf(migration)).where('id', '=', migration.id).execute();
      if (vmHost !== undefined) await db.updateTable('vms').set({ host: vmHost }).where('name', '=', migration.vm).execute();
    });
  }

  addResolution(id: string, keep: Keep, at: number): Promise<boolean> {
    return this.#unlessRefused(this.#db.insertInto('resolutions').values({ migration: id, keep, decided_at: at }));
  }

  async removeResolution(id: string): Promise<void> {
    await this.#db.deleteFrom('resolutions').where('migration', '=', id).execute();
  }

  async resolutionHeard(id: string, side: Keep, at: number, refused?: string): Promise<void> {
    const set =
      side === 'source'
        ? { source_heard_at: at, source_refused: refused ?? null }
        : { destination_heard_at: at, destination_refused: refused ?? null };
    await this.#db.updateTable('resolutions').set(set).where('migration', '=', id).execute();
  }

  async untoldResolutions(): Promise<StoredMigration[]> {
    const rows = await this.#migrations()
      .where('keep', 'is not', null)
      .where((is) => is.or([is('source_heard_at', 'is', null), is('destination_heard_at', 'is', null)]))
      .execute();
    return rows.map(migrationOf);
  }

  async close(): Promise<void> {
    await this.#db.destroy();
  }

  #migrations() {
    return this.#db.selectFrom('migrations').leftJoin('resolutions', 'resolutions.migration', 'migrations.id').selectAll();
  }

  async #unlessRefused(query: { execute(): Promise<unknown> }): Promise<boolean> {
    try {
      await query.execute();
      return true;
    } catch (error) {
      if (this.#isConstraint(error)) return false;
      throw error;
    }
  }
}

/** The columns that change while a migration runs. */
const courseOf = ({ phase, endedAt, result, failure }: Migration) => ({
  phase,
  ended_at: endedAt ?? null,
  result: result ? JSON.stringify(result) : null,
  failure: failure ? JSON.stringify(failure) : null,
});

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
