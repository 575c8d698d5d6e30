/** A task that this manager is carrying out, with those who watch it. */
import type { MigrationFailure, Subject, Task, TaskLogEntry, TaskState } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Events } from '../events/events.ts';
import type { Store, StoredTask } from '../store/store.ts';

/** Of one task's log. */
export const logEntries = 1_000;

export class LiveTask {
  readonly #store: Store;
  readonly #events: Events;
  readonly #log: Logger;
  #stored: StoredTask;
  #entries: TaskLogEntry[];
  #unwritten: TaskLogEntry[] = [];
  #writing: Promise<void> = Promise.resolve();
  #changed = Promise.withResolvers<void>();
  readonly #cancelling = new AbortController();

  /** @param entries of its log, after a restart of the manager */
  constructor(stored: StoredTask, store: Store, events: Events, log: Logger, entries: readonly TaskLogEntry[] = []) {
    this.#stored = stored;
    this.#store = store;
    this.#events = events;
    this.#log = log.child({ task: stored.id });
    this.#entries = [...entries];
    if (stored.cancelledAt !== undefined) this.#cancelling.abort();
  }

  get id(): string {
    return this.#stored.id;
  }

  get stored(): StoredTask {
    return this.#stored;
  }

  get entries(): readonly TaskLogEntry[] {
    return this.#entries;
  }

  /** Aborted when somebody wishes it to stop. */
  get cancelled(): AbortSignal {
    return this.#cancelling.signal;
  }

  get ended(): boolean {
    return this.#stored.endedAt !== undefined;
  }

  /** The subject of events about it. */
  get subject(): Subject {
    return { ...this.#stored.subject, task: this.id };
  }

  say(message: string): void {
    const entry = { at: Date.now(), message };
    this.#log.info(message);
    this.#entries = [...this.#entries, entry].slice(-logEntries);
    this.#unwritten.push(entry);
    // What is said while a write is under way is written with the next one.
    this.#writing = this.#writing.then(() => this.#write());
    this.#wake();
  }

  async progress(done: number, total: number): Promise<void> {
    const before = this.#stored.progress;
    if (this.ended || (before.done === done && before.total === total)) return;
    this.#stored = { ...this.#stored, progress: { done, total } };
    await this.#store.history.taskProgress(this.id, { done, total });
    const message = `${this.#stored.title}: ${done} of ${total}`;
    this.#events.publish({ type: 'task.progress', subject: this.subject, message, data: { done, total } });
    this.#wake();
  }

  /** Recorded before anything is stopped. */
  async cancel(): Promise<void> {
    if (this.cancelled.aborted) return;
    const cancelledAt = Date.now();
    await this.#store.history.cancelTask(this.id, cancelledAt);
    this.#stored = { ...this.#stored, cancelledAt };
    this.#cancelling.abort();
    this.#wake();
  }

  async end(state: Exclude<TaskState, 'running'>, failure?: MigrationFailure, progress = this.#stored.progress): Promise<void> {
    if (this.ended) return;
    const { title } = this.#stored;
    const endedAt = Date.now();
    await this.#writing;
    await this.#store.history.endTask(this.id, { state, endedAt, progress, ...(failure && { failure }) });
    this.#stored = { ...this.#stored, state, endedAt, progress, ...(failure && { failure }) };
    const message = `${title}: ${state}${failure ? `: ${failure.message}` : ''}`;
    this.#events.publish({
      type: 'task.ended',
      subject: this.subject,
      severity: state === 'failed' ? 'warning' : 'info',
      message,
      data: { state, kind: this.#stored.kind },
    });
    this.#wake();
  }

  /** When all that was said is written. */
  written(): Promise<void> {
    return this.#writing;
  }

  /** Yields each time it has changed, until it has ended. A slow reader misses states in between, never the last one. */
  async *changes(signal: AbortSignal): AsyncGenerator<void> {
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => aborted.resolve(), { once: true });
    while (!signal.aborted) {
      const changed = this.#changed.promise;
      const over = this.ended;
      yield;
      if (over) return;
      await Promise.race([changed, aborted.promise]);
    }
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }

  async #write(): Promise<void> {
    const entries = this.#unwritten;
    this.#unwritten = [];
    try {
      await this.#store.history.addToLog(this.id, entries, logEntries);
    } catch (error) {
      this.#log.error({ err: error }, "lines of a task's log could not be written");
    }
  }
}

/** As people see it. */
export const viewOf = (stored: StoredTask, log: readonly TaskLogEntry[], cancellable: boolean): Task => {
  const { orders: _orders, cancelledAt: _cancelledAt, ...task } = stored;
  return { ...task, log: [...log], cancellable };
};
