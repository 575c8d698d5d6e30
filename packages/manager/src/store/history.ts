/** What happened: tasks with their logs, and events. Each method is one transaction. */
import type { Event, Subject, Task, TaskLogEntry, TaskState } from '@sealift/contract';
import type { Kysely, Selectable, Transaction } from 'kysely';
import type { Tables } from './schema.ts';
import { pageSize, type Refusals } from './sql.ts';
import type { Writes } from './writes.ts';

export interface StoredTask extends Omit<Task, 'log' | 'cancellable'> {
  /** What its runner was asked, to go on with it after a restart. */
  readonly orders?: unknown;
  /** When somebody wished it to stop. */
  readonly cancelledAt?: number;
}

export type TaskEnd = Pick<StoredTask, 'state' | 'endedAt' | 'failure' | 'progress'>;

export interface TaskPage {
  readonly limit?: number | undefined;
  readonly before?: string | undefined;
  readonly state?: TaskState | undefined;
  readonly parent?: string | undefined;
}

export interface EventPage {
  readonly limit?: number | undefined;
  readonly before?: number | undefined;
  readonly vm?: string | undefined;
  readonly host?: string | undefined;
  readonly migration?: string | undefined;
}

/** Not numbered yet. */
export type News = Omit<Event, 'id'>;

export interface HistoryStore {
  /** @returns false where the id is taken, or where the host is being drained, or the cluster balanced, already */
  addTask(task: StoredTask): Promise<boolean>;
  taskProgress(id: string, progress: Task['progress']): Promise<void>;
  /** Recorded before anything is stopped, so that it stays cancelled over a restart. */
  cancelTask(id: string, at: number): Promise<void>;
  endTask(id: string, end: TaskEnd): Promise<void>;
  /** Appends, and forgets what is older than the last `keep`. */
  addToLog(task: string, entries: readonly TaskLogEntry[], keep: number): Promise<void>;
  /** Oldest first. */
  logOf(task: string): Promise<TaskLogEntry[]>;
  getTask(id: string): Promise<StoredTask | undefined>;
  /** Newest first. */
  listTasks(page?: TaskPage): Promise<StoredTask[]>;
  unfinishedTasks(): Promise<StoredTask[]>;
  /** Every task that is part of this one, oldest first. */
  tasksOf(parent: string): Promise<StoredTask[]>;

  /** Numbers them in this order, without a gap to those before, and records all or none. */
  addEvents(news: readonly News[]): Promise<Event[]>;
  /** Newest first. */
  listEvents(page?: EventPage): Promise<Event[]>;
  /** Oldest first. */
  eventsAfter(id: number, limit: number): Promise<Event[]>;
  /** Of a migration, oldest first; the last so many. */
  eventsOfMigration(id: string, limit: number): Promise<Event[]>;
  /** `newest` is the last number that was given, also where that event is gone; `oldest` the first that is there, else the next to come. */
  eventBounds(): Promise<{ readonly oldest: number; readonly newest: number }>;
}

export class KyselyHistory implements HistoryStore {
  readonly #db: Kysely<Tables>;
  readonly #writes: Writes;
  readonly #refusals: Refusals;

  constructor(db: Kysely<Tables>, writes: Writes, refusals: Refusals) {
    this.#db = db;
    this.#writes = writes;
    this.#refusals = refusals;
  }

  addTask(task: StoredTask): Promise<boolean> {
    return this.#refusals.unlessRefused((db) => db.insertInto('tasks').values(taskRow(task)).execute());
  }

  async taskProgress(id: string, { done, total }: Task['progress']): Promise<void> {
    await this.#writes.run((db) => db.updateTable('tasks').set({ done, total }).where('id', '=', id).execute());
  }

  async cancelTask(id: string, at: number): Promise<void> {
    await this.#writes.run((db) =>
      db.updateTable('tasks').set({ cancelled_at: at }).where('id', '=', id).where('cancelled_at', 'is', null).execute(),
    );
  }

  async endTask(id: string, end: TaskEnd): Promise<void> {
    await this.#writes.run((db) => endTask(db, id, end));
  }

  async addToLog(task: string, entries: readonly TaskLogEntry[], keep: number): Promise<void> {
    if (entries.length === 0) return;
    await this.#writes.run(async (db) => {
      const last = await db
        .selectFrom('task_log')
        .select('position')
        .where('task', '=', task)
        .orderBy('position', 'desc')
        .limit(1)
        .execute();
      const first = (last[0]?.position ?? 0) + 1;
      const rows = entries.slice(-keep).map(({ at, message }, index) => ({ task, position: first + index, at, message }));
      await db.insertInto('task_log').values(rows).execute();
      const newest = first + rows.length - 1;
      await db
        .deleteFrom('task_log')
        .where('task', '=', task)
        .where('position', '<=', newest - keep)
        .execute();
    });
  }

  async logOf(task: string): Promise<TaskLogEntry[]> {
    const rows = await this.#db.selectFrom('task_log').select(['at', 'message']).where('task', '=', task).orderBy('position').execute();
    return rows.map(({ at, message }) => ({ at: Number(at), message }));
  }

  async getTask(id: string): Promise<StoredTask | undefined> {
    const row = await this.#db.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirst();
    return row && taskOf(row);
  }

  async listTasks({ limit = pageSize, before, state, parent }: TaskPage = {}): Promise<StoredTask[]> {
    let query = this.#db.selectFrom('tasks').selectAll();
    if (state !== undefined) query = query.where('state', '=', state);
    if (parent !== undefined) query = query.where('parent', '=', parent);
    if (before !== undefined) {
      query = query.where(({ eb, refTuple, selectFrom }) =>
        eb(
          refTuple('started_at', 'id'),
          '<',
          selectFrom('tasks as mark').select(['mark.started_at', 'mark.id']).where('mark.id', '=', before).$asTuple('started_at', 'id'),
        ),
      );
    }
    return (await query.orderBy('started_at', 'desc').orderBy('id', 'desc').limit(limit).execute()).map(taskOf);
  }

  async unfinishedTasks(): Promise<StoredTask[]> {
    const rows = await this.#db.selectFrom('tasks').selectAll().where('ended_at', 'is', null).orderBy('started_at').orderBy('id').execute();
    return rows.map(taskOf);
  }

  async tasksOf(parent: string): Promise<StoredTask[]> {
    const rows = await this.#db.selectFrom('tasks').selectAll().where('parent', '=', parent).orderBy('started_at').orderBy('id').execute();
    return rows.map(taskOf);
  }

  addEvents(news: readonly News[]): Promise<Event[]> {
    if (news.length === 0) return Promise.resolve([]);
    return this.#writes.run(async (db) => {
      // The counter's row is locked until the commit: numbers become visible in their order, also with several managers.
      const counted = await db
        .updateTable('counters')
        .set((set) => ({ value: set('value', '+', news.length) }))
        .where('name', '=', 'events')
        .returning('value')
        .executeTakeFirstOrThrow();
      const first = Number(counted.value) - news.length + 1;
      const events = news.map((each, index) => ({ id: first + index, ...each }));
      await db.insertInto('events').values(events.map(eventRow)).execute();
      return events;
    });
  }

  async listEvents({ limit = pageSize, before, vm, host, migration }: EventPage = {}): Promise<Event[]> {
    let query = this.#db.selectFrom('events').selectAll();
    if (before !== undefined) query = query.where('id', '<', before);
    if (vm !== undefined) query = query.where('vm', '=', vm);
    if (host !== undefined) query = query.where('host', '=', host);
    if (migration !== undefined) query = query.where('migration', '=', migration);
    return (await query.orderBy('id', 'desc').limit(limit).execute()).map(eventOf);
  }

  async eventsAfter(id: number, limit: number): Promise<Event[]> {
    return (await this.#db.selectFrom('events').selectAll().where('id', '>', id).orderBy('id').limit(limit).execute()).map(eventOf);
  }

  async eventsOfMigration(id: string, limit: number): Promise<Event[]> {
    return (await this.listEvents({ migration: id, limit })).reverse();
  }

  async eventBounds(): Promise<{ oldest: number; newest: number }> {
    const counter = await this.#db.selectFrom('counters').select('value').where('name', '=', 'events').executeTakeFirstOrThrow();
    const first = await this.#db.selectFrom('events').select('id').orderBy('id').limit(1).executeTakeFirst();
    const newest = Number(counter.value);
    return { newest, oldest: first ? Number(first.id) : newest + 1 };
  }
}

export async function endTask(db: Transaction<Tables>, id: string, { state, endedAt, failure, progress }: TaskEnd) {
  const end = { state, ended_at: endedAt ?? null, failure: failure ? JSON.stringify(failure) : null, ...progress };
  await db.updateTable('tasks').set(end).where('id', '=', id).where('ended_at', 'is', null).execute();
}

export const taskRow = ({
  id,
  kind,
  title,
  subject,
  state,
  progress,
  parent,
  orders,
  failure,
  startedAt,
  cancelledAt,
  endedAt,
}: StoredTask) => ({
  id,
  kind,
  title,
  vm: subject.vm ?? null,
  host: subject.host ?? null,
  cluster: subject.cluster ?? null,
  state,
  ...progress,
  parent: parent ?? null,
  orders: orders === undefined ? null : JSON.stringify(orders),
  failure: failure ? JSON.stringify(failure) : null,
  started_at: startedAt,
  cancelled_at: cancelledAt ?? null,
  ended_at: endedAt ?? null,
});

const eventRow = ({ id, at, type, severity, message, subject, data }: Event): Tables['events'] => ({
  id,
  at,
  type,
  severity,
  message,
  vm: subject.vm ?? null,
  host: subject.host ?? null,
  cluster: subject.cluster ?? null,
  migration: subject.migration ?? null,
  task: subject.task ?? null,
  data: data ? JSON.stringify(data) : null,
});

// The casts below: these columns hold what this file wrote there, which had these types.

function taskOf(row: Selectable<Tables['tasks']>): StoredTask {
  const { id, kind, title, vm, host, cluster, state, done, total, parent, orders, failure, started_at, cancelled_at, ended_at } = row;
  return {
    id,
    kind: kind as Task['kind'],
    title,
    subject: subjectOf({ vm, host, cluster, migration: kind === 'migrate' ? id : null, task: null }),
    state: state as TaskState,
    progress: { done, total },
    startedAt: Number(started_at),
    ...(parent !== null && { parent }),
    ...(orders !== null && { orders: JSON.parse(orders) as unknown }),
    ...(failure !== null && { failure: JSON.parse(failure) as NonNullable<Task['failure']> }),
    ...(cancelled_at !== null && { cancelledAt: Number(cancelled_at) }),
    ...(ended_at !== null && { endedAt: Number(ended_at) }),
  };
}

const eventOf = ({ id, at, type, severity, message, data, ...subject }: Selectable<Tables['events']>): Event => ({
  id: Number(id),
  at: Number(at),
  type: type as Event['type'],
  severity: severity as Event['severity'],
  message,
  subject: subjectOf(subject),
  ...(data !== null && { data: JSON.parse(data) as NonNullable<Event['data']> }),
});

type SubjectColumns = Pick<Selectable<Tables['events']>, 'vm' | 'host' | 'cluster' | 'migration' | 'task'>;

const subjectOf = ({ vm, host, cluster, migration, task }: SubjectColumns): Subject => ({
  ...(vm !== null && { vm }),
  ...(host !== null && { host }),
  ...(cluster !== null && { cluster }),
  ...(migration !== null && { migration }),
  ...(task !== null && { task }),
});
