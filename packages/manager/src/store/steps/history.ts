/** Tasks with their logs, and events. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const historyStep: Migration = {
  // biome-ignore lint/suspicious/noExplicitAny: a step knows the tables as they were then, not as the types of today have them
  async up(db: Kysely<any>) {
    await db.schema
      .createTable('tasks')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('title', 'text', (column) => column.notNull())
      .addColumn('vm', 'text')
      .addColumn('host', 'text')
      .addColumn('cluster', 'text')
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('done', 'integer', (column) => column.notNull())
      .addColumn('total', 'integer', (column) => column.notNull())
      .addColumn('parent', 'text')
      .addColumn('orders', 'text')
      .addColumn('failure', 'text')
      .addColumn('started_at', 'bigint', (column) => column.notNull())
      .addColumn('cancelled_at', 'bigint')
      .addColumn('ended_at', 'bigint')
      .execute();
    await db.schema.createIndex('tasks_by_start').on('tasks').columns(['started_at', 'id']).execute();
    await db.schema.createIndex('tasks_by_parent').on('tasks').columns(['parent', 'started_at']).execute();
    await db.schema.createIndex('unfinished_tasks').on('tasks').column('started_at').where(sql.ref('ended_at'), 'is', null).execute();
    // What keeps a host from being drained, and a cluster from being balanced, twice at once.
    for (const [kind, subject] of [
      ['drain', 'host'],
      ['balance', 'cluster'],
    ] as const) {
      const running = sql<boolean>`ended_at IS NULL AND kind = ${sql.lit(kind)}`;
      await db.schema.createIndex(`one_unfinished_${kind}`).unique().on('tasks').column(subject).where(running).execute();
    }
    await sql`INSERT INTO tasks (id, kind, title, vm, host, state, done, total, failure, started_at, ended_at)
      SELECT id, 'migrate', 'move VM ' || vm || ' from host ' || from_host || ' to host ' || to_host, vm, from_host,
        CASE WHEN ended_at IS NULL THEN 'running' WHEN phase IN ('completed', 'cancelled') THEN phase ELSE 'failed' END,
        CASE WHEN phase = 'completed' THEN 100 ELSE 0 END, 100, failure, ordered_at, ended_at FROM migrations`.execute(db);
    await db.schema
      .createTable('task_log')
      .addColumn('task', 'text', (column) => column.notNull().references('tasks.id'))
      .addColumn('position', 'integer', (column) => column.notNull())
      .addColumn('at', 'bigint', (column) => column.notNull())
      .addColumn('message', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('task_log_key', ['task', 'position'])
      .execute();
    await db.schema
      .createTable('events')
      .addColumn('id', 'bigint', (column) => column.primaryKey())
      .addColumn('at', 'bigint', (column) => column.notNull())
      .addColumn('type', 'text', (column) => column.notNull())
      .addColumn('severity', 'text', (column) => column.notNull())
      .addColumn('message', 'text', (column) => column.notNull())
      .addColumn('vm', 'text')
      .addColumn('host', 'text')
      .addColumn('cluster', 'text')
      .addColumn('migration', 'text')
      .addColumn('task', 'text')
      .addColumn('data', 'text')
      .execute();
    for (const subject of ['vm', 'host', 'migration'] as const) {
      await db.schema.createIndex(`events_by_${subject}`).on('events').columns([subject, 'id']).execute();
    }
    await db.schema
      .createTable('counters')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('value', 'bigint', (column) => column.notNull())
      .execute();
    await db.insertInto('counters').values({ name: 'events', value: 0 }).execute();
  },
};
