/** Watching a task to its end. Leaving it alone is what Ctrl-C does: a task is the manager's, and is cancelled only when that is said. */
import type { Migration, Task, TaskLogEntry } from '@sealift/contract';
import type { Context } from '../context.ts';
import { AlreadyTold, codeOf, untilInterrupted } from '../endings.ts';
import type { Manager } from '../manager/connect.ts';
import { followToEnd } from '../manager/follow.ts';
import { allPages, before } from '../manager/pages.ts';
import { type Io, printJson } from '../output/io.ts';
import { clearLines, endLines, liveLine, logLine, newEntries, progressLine } from './render.ts';

/** @throws LeftWatching, or AlreadyTold where the task did not complete */
export async function watchTask({ io, manager }: Context, id: string): Promise<void> {
  const left = `left; the task goes on. Watch it again with: sealift task watch ${id}   Cancel it with: sealift task cancel ${id}`;
  const last = await untilInterrupted(left, async (signal) => {
    const display = createDisplay(io);
    let task: Task | undefined;
    const onLost = (): void => display.note('The manager does not answer; the task goes on when it is back. Asking again for a minute.');
    const open = (until: AbortSignal | undefined): AsyncIterable<Task> => manager.watchTask({ params: { task: id } }, until);
    for await (task of followToEnd({ what: 'task', open, ended: ({ state }) => state !== 'running' }, { signal, onLost })) {
      display.show(task);
    }
    display.settle();
    return task;
  });
  if (!last) return;
  if (!io.json) {
    for (const line of [...clearLines(await clearMigrationsOf(manager, last)), ...endLines(last)]) io.print(line);
  }
  const words = last.failure?.message ?? `${last.title} was ${last.state}`;
  if (last.state === 'cancelled') throw new AlreadyTold('cancelled', words);
  if (last.state !== 'completed') throw new AlreadyTold(codeOf(last.failure), words);
}

/** Migrations that belong to the task and were not sealed. Nothing where that cannot be asked: the outcome is what counts. */
export async function clearMigrationsOf(manager: Manager, task: Task): Promise<Migration[]> {
  if (task.kind !== 'drain' && task.kind !== 'balance') return [];
  try {
    const ids = new Set<string>();
    for await (const { id, kind } of allPages<Task>((limit, last) =>
      manager.listTasks({ query: { limit, parent: task.id, ...before(last) } }),
    )) {
      if (kind === 'migrate') ids.add(id);
    }
    const clear: Migration[] = [];
    const migrations = allPages<Migration>(
      (limit, last) => manager.listMigrations({ query: { limit, ...before(last) } }),
      ({ orderedAt }) => orderedAt < task.startedAt,
    );
    for await (const migration of migrations) if (migration.suite === 'none' && ids.has(migration.id)) clear.push(migration);
    return clear;
  } catch {
    return [];
  }
}

interface Display {
  show(task: Task): void;
  note(line: string): void;
  /** What is on the screen stays, and the next line goes below it. */
  settle(): void;
}

function createDisplay(io: Io): Display {
  if (io.json) return { show: (task) => printJson(io, task, 'line'), note: io.note, settle: () => {} };
  let seen: TaskLogEntry | undefined;
  let progress = '';
  const live = io.columns === undefined ? undefined : io.live();
  return {
    show(task) {
      for (const entry of newEntries(task.log, seen)) {
        live?.clear();
        io.note(logLine(entry));
        seen = entry;
      }
      const now = progressLine(task);
      if (live) live.draw([liveLine(task, io.columns ?? 80)]);
      else if (now !== progress) io.note(now);
      progress = now;
    },
    note(line) {
      live?.clear();
      io.note(line);
    },
    settle: () => live?.clear(),
  };
}
