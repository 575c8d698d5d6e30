/** Forgets old history. Never what has not ended, nor a decision that a host has still to hear. */
import { sql, type Transaction } from 'kysely';
import type { Tables } from './schema.ts';

export interface Keeping {
  /** What ended, or happened, earlier is forgotten. */
  readonly since: number;
  /** Of events, never more than so many. */
  readonly events: number;
}

/** Short enough that nobody waits long for the database meanwhile. */
const batch = 2_000;

/** @returns how many events, tasks and migrations it forgot: 0 once nothing is left to forget; each call forgets a bounded number */
export async function prune(trx: Transaction<Tables>, { since, events }: Keeping): Promise<number> {
  const newest = await trx.selectFrom('counters').select('value').where('name', '=', 'events').executeTakeFirstOrThrow();
  // By number and not each by its time: a history without gaps is what lets a stream be resumed.
  const first = await trx.selectFrom('events').select(['id', 'at']).orderBy('id').limit(batch).execute();
  const late = first.filter(({ id, at }) => Number(at) < since || Number(id) <= Number(newest.value) - events);
  const last = late.at(-1)?.id;
  const forgotten = last === undefined ? [] : [await trx.deleteFrom('events').where('id', '<=', last).executeTakeFirst()];

  const migrations = await trx
    .selectFrom('migrations')
    .leftJoin('resolutions', 'resolutions.migration', 'migrations.id')
    .select('migrations.id')
    .where('ended_at', '<', since)
    .where((is) =>
      is.or([is('keep', 'is', null), is.and([is('source_heard_at', 'is not', null), is('destination_heard_at', 'is not', null)])]),
    )
    .limit(batch)
    .execute();
  const ids = migrations.map(({ id }) => id);
  if (ids.length > 0) {
    await trx.deleteFrom('resolutions').where('migration', 'in', ids).execute();
    forgotten.push(await trx.deleteFrom('migrations').where('id', 'in', ids).executeTakeFirst());
  }

  // A task that is part of another is counted by that one's runner until it has ended too.
  const tasks = await trx
    .selectFrom('tasks')
    .select('id')
    .where('ended_at', '<', since)
    .where(sql<boolean>`NOT EXISTS (SELECT 1 FROM tasks AS whole WHERE whole.id = tasks.parent AND whole.ended_at IS NULL)`)
    .where(sql<boolean>`NOT EXISTS (SELECT 1 FROM migrations WHERE migrations.id = tasks.id)`)
    .limit(batch)
    .execute();
  const oldTasks = tasks.map(({ id }) => id);
  if (oldTasks.length > 0) {
    await trx.deleteFrom('task_log').where('task', 'in', oldTasks).execute();
    forgotten.push(await trx.deleteFrom('tasks').where('id', 'in', oldTasks).executeTakeFirst());
  }
  return forgotten.reduce((sum, result) => sum + Number(result?.numDeletedRows ?? 0n), 0);
}
