/** A migration that has not ended, as this manager knows it now, with those who watch it. */
import type { Migration, MigrationSpec } from '@sealift/contract';
import { Exclusive } from '../exclusive.ts';
import type { StoredMigration } from '../store/store.ts';

export class LiveMigration {
  readonly spec: MigrationSpec;
  /** When the source was told to begin. */
  begunAt: number | undefined;
  #current: Migration;
  #changed = Promise.withResolvers<void>();
  /** Set when it was cancelled before the source was told of it. */
  cancelRequested = false;
  /** Whether the source has been told, so that a cancel is the source's to decide. */
  begun = false;
  /** Resolves when it has begun, has ended before it could, or the manager is being stopped: a cancel before that is answered then. */
  readonly decidedToBegin = Promise.withResolvers<void>();
  /** Aborted when an administrator has ended it: what the agents still say changes nothing any more. */
  readonly decided = new AbortController();
  readonly #watched = new AbortController();
  /** One recording at a time: what the agents say and what an administrator decides may come to different ends. */
  readonly recording = new Exclusive();

  constructor({ migration, spec, begunAt }: StoredMigration) {
    this.#current = migration;
    this.spec = spec;
    this.begunAt = begunAt;
  }

  get current(): Migration {
    return this.#current;
  }

  /** Aborted once somebody watches it. */
  get watched(): AbortSignal {
    return this.#watched.signal;
  }

  show(migration: Migration): void {
    this.#current = migration;
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }

  /** The state as it is, then each change until the end. A slow reader misses states in between, never the last one. */
  async *watch(signal: AbortSignal): AsyncGenerator<Migration> {
    this.#watched.abort();
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => aborted.resolve(), { once: true });
    while (!signal.aborted) {
      const changed = this.#changed.promise;
      const state = this.#current;
      yield state;
      if (state.endedAt !== undefined) return;
      await Promise.race([changed, aborted.promise]);
    }
  }
}
