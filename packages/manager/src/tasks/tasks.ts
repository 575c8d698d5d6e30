/**
 * Tasks: every order of somebody's, from its acceptance to its end. A migration's task is recorded with the migration and read from it; those
 * of VMs' lifecycle end with the call that ordered them; drains and balances have runners of their own, which go on after a restart.
 */
import { randomUUID } from 'node:crypto';
import { type Migration, SealiftError, type Subject, type Task, type TaskKind } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Events } from '../events/events.ts';
import type { Store, StoredTask, TaskPage } from '../store/store.ts';
import { LiveTask, logEntries, viewOf } from './live.ts';
import { cutOff, failureOf, isCancellable, percentOf } from './words.ts';

/** What a task needs of the migrations. */
export interface Movers {
  /** One that has not ended, or whose end is not yet shown to anybody. */
  unfinished(id: string): Migration | undefined;
  cancel(id: string): Promise<Migration>;
  watch(id: string, signal: AbortSignal): AsyncGenerator<Migration>;
}

export interface Beginning {
  readonly kind: Exclude<TaskKind, 'migrate'>;
  readonly title: string;
  readonly subject: Subject;
  readonly total?: number;
  /** Handed to its runner again after a restart. */
  readonly orders?: unknown;
}

export class Tasks {
  readonly #store: Store;
  readonly #events: Events;
  readonly #movers: Movers;
  readonly #log: Logger;
  readonly #live = new Map<string, LiveTask>();
  #closing = false;

  constructor(store: Store, events: Events, movers: Movers, log: Logger) {
    this.#store = store;
    this.#events = events;
    this.#movers = movers;
    this.#log = log;
  }

  /** Ends what was cut off when the manager last stopped. @returns the tasks that go on */
  async open(): Promise<LiveTask[]> {
    const goOn: LiveTask[] = [];
    for (const stored of await this.#store.history.unfinishedTasks()) {
      if (stored.kind === 'migrate') continue;
      const task = new LiveTask(stored, this.#store, this.#events, this.#log, await this.#store.history.logOf(stored.id));
      if (stored.kind === 'drain' || stored.kind === 'balance') {
        this.#live.set(stored.id, task);
        goOn.push(task);
      } else await task.end('failed', cutOff(stored));
    }
    return goOn;
  }

  /** What still runs is left as it is, to be found at the next start. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#live.values()].map((task) => task.written()));
  }

  /** @returns undefined where the host is being drained, or the cluster balanced, already */
  async begin({ kind, title, subject, total = 1, orders }: Beginning): Promise<LiveTask | undefined> {
    const progress = { done: 0, total };
    const id = randomUUID();
    const stored: StoredTask = { id, kind, title, subject, state: 'running', progress, startedAt: Date.now(), orders };
    if (!(await this.#store.history.addTask(stored))) return undefined;
    const task = new LiveTask(stored, this.#store, this.#events, this.#log);
    this.#live.set(id, task);
    this.#events.publish({ type: 'task.started', subject: task.subject, message: title, data: { kind } });
    return task;
  }

  /** Runs an order whose end its caller waits for. */
  async run<T>(beginning: Beginning, work: () => Promise<T>): Promise<T> {
    const task = await this.begin(beginning);
    if (!task) throw new SealiftError('internal', `the task "${beginning.title}" could not be recorded; nothing was done`);
    try {
      const done = await work();
      await this.end(task, 'completed', undefined, { done: 1, total: 1 });
      return done;
    } catch (error) {
      // A manager that is being stopped no longer knows how it ends: its next start says so.
      if (!this.#closing) await this.end(task, 'failed', failureOf(error));
      throw error;
    }
  }

  async end(task: LiveTask, ...end: Parameters<LiveTask['end']>): Promise<void> {
    await task.end(...end);
    this.#live.delete(task.id);
  }

  /** Newest first, without their logs. */
  async list(page: TaskPage): Promise<Task[]> {
    return Promise.all((await this.#store.history.listTasks(page)).map((stored) => this.#view(stored, false)));
  }

  async get(id: string): Promise<Task> {
    return this.#view(await this.#find(id), true);
  }

  async *watch(id: string, signal: AbortSignal): AsyncGenerator<Task> {
    const stored = await this.#find(id);
    const live = this.#live.get(id);
    const changes = live ? live.changes(signal) : stored.kind === 'migrate' ? this.#movers.watch(id, signal) : [undefined];
    for await (const _ of changes) {
      const task = live ? await this.#view(live.stored, true) : await this.get(id);
      yield task;
      if (task.endedAt !== undefined) return;
    }
  }

  /** @throws SealiftError not_found, wrong_state */
  async cancel(id: string): Promise<Task> {
    const stored = await this.#find(id);
    const { kind, title, state, subject } = stored;
    if (kind === 'migrate') await this.#movers.cancel(id);
    else {
      const live = this.#live.get(id);
      if (state !== 'running' || !live) throw new SealiftError('wrong_state', `the task "${title}" has already ended: ${state}`);
      if (kind !== 'drain' && kind !== 'balance') {
        const vm = subject.vm === undefined ? '' : `; see how it ends: sealift vm show ${subject.vm}`;
        throw new SealiftError('wrong_state', `the task "${title}" is under way at its host and cannot be cancelled${vm}`);
      }
      await live.cancel();
    }
    return this.get(id);
  }

  async #find(id: string): Promise<StoredTask> {
    const stored = this.#live.get(id)?.stored ?? (await this.#store.history.getTask(id));
    if (!stored) throw new SealiftError('not_found', `there is no task ${id}`);
    return stored;
  }

  async #view(stored: StoredTask, withLog: boolean): Promise<Task> {
    const live = this.#live.get(stored.id);
    if (live) return viewOf(live.stored, withLog ? live.entries : [], isCancellable(live.stored));
    if (stored.kind !== 'migrate') return viewOf(stored, withLog ? await this.#store.history.logOf(stored.id) : [], isCancellable(stored));
    // The database knows of its end a little earlier than anybody is told.
    const migration = this.#movers.unfinished(stored.id);
    const row = migration || stored.endedAt !== undefined ? stored : ((await this.#store.history.getTask(stored.id)) ?? stored);
    // A migration's log is what was published about it.
    if (withLog) await this.#events.written();
    const events = withLog ? await this.#store.history.eventsOfMigration(stored.id, logEntries) : [];
    const log = events.map(({ at, message }) => ({ at, message }));
    if (!migration) return viewOf(row, log, false);
    const { endedAt: _, failure: __, ...rest } = row;
    const running: StoredTask = { ...rest, state: 'running', progress: percentOf(migration) };
    return viewOf(running, log, isCancellable(running, migration));
  }
}
