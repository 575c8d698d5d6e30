/** The embedded database: Node's own SQLite behind Kysely. */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Kysely, type SqliteDatabase, SqliteDialect } from 'kysely';
import { KyselyStore } from './kysely-store.ts';
import { RememberingStore } from './remembering.ts';
import { bringUpToDate, type Tables } from './schema.ts';
import type { Store } from './store.ts';

/** Gives Kysely the statement interface it knows from better-sqlite3. */
class NodeSqlite implements SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  prepare(sql: string): ReturnType<SqliteDatabase['prepare']> {
    const statement = this.#statement(sql);
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
    this.#prepared.clear();
    this.#database.close();
  }

  /** Kysely has each query prepared each time; the same few come again and again. None is left half read, so that each can be used anew. */
  #statement(sql: string): StatementSync {
    const known = this.#prepared.get(sql);
    if (known) return known;
    const statement = this.#database.prepare(sql);
    if (sql.length <= longestKept && this.#prepared.size < mostKept) this.#prepared.set(sql, statement);
    return statement;
  }
}

/** Queries with a list of names are long, and each is another. */
const longestKept = 1_000;
const mostKept = 200;

/** SQLite's extended result codes (https://sqlite.org/rescode.html): FOREIGNKEY, PRIMARYKEY, UNIQUE. */
const constraintCodes: ReadonlySet<unknown> = new Set([787, 1555, 2067]);

/**
 * Opens the database, makes it if it is not there, and brings its tables up to date.
 * @param path a file, or `:memory:`
 */
export async function openSqlite(path: string): Promise<Store> {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
  let store: Store | undefined;
  try {
    // A migration that was acknowledged is on the disk: FULL syncs the log at each commit.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: new NodeSqlite(database) }) });
    await bringUpToDate(db);
    const isConstraint = (error: unknown) => error instanceof Error && 'errcode' in error && constraintCodes.has(error.errcode);
    store = await RememberingStore.open(new KyselyStore(db, isConstraint));
    return store;
  } finally {
    if (!store) database.close();
  }
}
