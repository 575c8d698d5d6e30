/** The embedded database: Node's own SQLite behind Kysely. */
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { Kysely, type SqliteDatabase, SqliteDialect } from 'kysely';
import { KyselyStore } from './kysely-store.ts';
import { bringUpToDate, type Tables } from './schema.ts';
import type { Store } from './store.ts';

/** Gives Kysely the statement interface it knows from better-sqlite3. */
class NodeSqlite implements SqliteDatabase {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  prepare(sql: string): ReturnType<SqliteDatabase['prepare']> {
    const statement = this.#database.prepare(sql);
    // Kysely's compiler only ever binds what a query was given, and ours are strings, numbers and null.
    const bound = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
    return {
      reader: statement.columns().length > 0,
      all: (parameters) => statement.all(...bound(parameters)),
      run: (parameters) => statement.run(...bound(parameters)),
      iterate: (parameters) => statement.iterate(...bound(parameters)),
    };
  }

  close(): void {
    this.#database.close();
  }
}

/** SQLite's extended result codes (https://sqlite.org/rescode.html): FOREIGNKEY, PRIMARYKEY, UNIQUE. */
const constraintCodes: ReadonlySet<unknown> = new Set([787, 1555, 2067]);

/**
 * Opens the database, makes it if it is not there, and brings its tables up to date.
 * @param path a file, or `:memory:`
 */
export async function openSqlite(path: string): Promise<Store> {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
  let store: KyselyStore | undefined;
  try {
    // A migration that was acknowledged is on the disk: FULL syncs the log at each commit.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: new NodeSqlite(database) }) });
    await bringUpToDate(db);
    store = new KyselyStore(db, (error) => error instanceof Error && 'errcode' in error && constraintCodes.has(error.errcode));
    return store;
  } finally {
    if (!store) database.close();
  }
}
