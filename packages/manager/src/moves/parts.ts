/** The migrations that are part of a task: which there are, how they ended, and how they are cancelled together. */
import { type Migration, SealiftError } from '@sealift/contract';
import type { Store } from '../store/store.ts';
import type { LiveTask } from '../tasks/live.ts';
import type { Moving } from './planning.ts';

export interface Parts {
  readonly running: readonly Migration[];
  readonly ended: readonly Migration[];
}

export async function partsOf(task: string, store: Store): Promise<Parts> {
  const ids = (await store.history.tasksOf(task)).map(({ id }) => id);
  const all = (await Promise.all(ids.map((id) => store.getMigration(id)))).flatMap((stored) => (stored ? [stored.migration] : []));
  return {
    running: all.filter(({ endedAt }) => endedAt === undefined),
    ended: all.filter(({ endedAt }) => endedAt !== undefined).sort((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0)),
  };
}

/** Says of each part once how it ended, also over a restart: what ended after the last line of the log was not said. */
export class Told {
  readonly #told = new Set<string>();
  readonly #since: number;

  constructor(task: LiveTask) {
    this.#since = task.entries.at(-1)?.at ?? 0;
  }

  tell(task: LiveTask, ended: readonly Migration[]): void {
    for (const { id, vm, to, phase, failure, clearBecause, endedAt = 0 } of ended) {
      if (this.#told.has(id)) continue;
      this.#told.add(id);
      if (endedAt < this.#since) continue;
      const clear = clearBecause === undefined ? '' : ` WITHOUT ENCRYPTION: ${clearBecause}`;
      if (phase === 'completed') task.say(`VM ${vm} has moved to host ${to}${clear}`);
      else task.say(`VM ${vm} has not moved to host ${to} (${phase}): ${failure?.message ?? 'no reason was given'}`);
    }
  }
}

/** What can still be stopped is; what was granted comes to its end by itself. */
export async function cancelAll(running: readonly Migration[], moving: Moving, task: LiveTask, asked: Set<string>): Promise<void> {
  for (const { id, vm, to } of running) {
    if (asked.has(id)) continue;
    try {
      await moving.cancel(id);
      asked.add(id);
      task.say(`the migration of VM ${vm} to host ${to} is cancelled`);
    } catch (error) {
      // Its host does not answer: it is asked again with the next round.
      if (error instanceof SealiftError && error.code === 'agent_unreachable') continue;
      asked.add(id);
      task.say(`the migration of VM ${vm} to host ${to} goes on to its end: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
