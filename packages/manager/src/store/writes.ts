/**
 * Writes that come in together are one commit: a commit is an fsync, milliseconds in which an embedded database does nothing else. Each is still
 * told of its own outcome, after the commit, in the order in which they came; one that fails takes back what it did and nothing of the others'.
 *
 *     run ─► waiting ─► BEGIN · SAVEPOINT each · COMMIT ─► resolve each
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Tables } from './schema.ts';

/**
 * From the end of a commit to the begin of the next, in times of how long it took: the database commits a quarter of the time at most. A write that
 * comes later than that waits for nobody.
 */
const spacing = 3;
/** However long that commit took, ms. */
const longestSpacingMs = 50;
/** Writes of one commit. */
const most = 1_000;

interface Waiting {
  readonly work: (db: Transaction<Tables>) => Promise<unknown>;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome = { readonly result: unknown } | { readonly error: unknown };

export class Writes {
  readonly #db: Kysely<Tables>;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | undefined;
  #next = Number.NEGATIVE_INFINITY;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /** @throws what the work throws, or what the commit fails with; nothing of it is in the database then */
  run<T>(work: (db: Transaction<Tables>) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  /** When nothing is waiting any more. */
  async done(): Promise<void> {
    await this.#committing;
  }

  async #commitAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const early = this.#next - performance.now();
      // Timers know whole milliseconds only.
      if (early >= 1) await sleep(early);
      const begun = performance.now();
      await this.#commit(this.#waiting.splice(0, most));
      const ended = performance.now();
      this.#next = ended + Math.min(longestSpacingMs, spacing * (ended - begun));
    }
    this.#committing = undefined;
  }

  async #commit(all: readonly Waiting[]): Promise<void> {
    let outcomes: Outcome[];
    try {
      outcomes = await this.#db.transaction().execute(async (db) => {
        const each: Outcome[] = [];
        for (const { work } of all) each.push(await outcomeOf(work, db));
        return each;
      });
    } catch (error) {
      for (const { reject } of all) reject(error);
      return;
    }
    for (const [index, { resolve, reject }] of all.entries()) {
      const outcome = outcomes[index];
      if (outcome && 'result' in outcome)
        resolve(outcome.result as never); // of the work that it was given with
      else reject(outcome?.error);
    }
  }
}

/** @throws where the database cannot even take back the work */
async function outcomeOf(work: Waiting['work'], db: Transaction<Tables>): Promise<Outcome> {
  await sql`SAVEPOINT one_write`.execute(db);
  let outcome: Outcome;
  try {
    outcome = { result: await work(db) };
  } catch (error) {
    outcome = { error };
    await sql`ROLLBACK TO SAVEPOINT one_write`.execute(db);
  }
  await sql`RELEASE SAVEPOINT one_write`.execute(db);
  return outcome;
}
