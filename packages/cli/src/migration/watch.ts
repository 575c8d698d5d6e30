/** Watching a migration to its end, with what Ctrl-C means meanwhile. */
import type { Migration } from '@sealift/contract';
import type { Context } from '../context.ts';
import { AlreadyTold, LeftWatching } from '../endings.ts';
import { createDisplay } from './display.ts';
import { follow } from './follow.ts';
import { doubtLines } from './render.ts';

/**
 * @param ordered whether this command ordered the migration: then the first Ctrl-C asks the manager to cancel and the outcome is still
 *   waited for, and the second leaves. Who only watches leaves with the first.
 * @throws LeftWatching, or AlreadyTold where the migration did not complete
 */
export async function watch({ io, manager }: Context, id: string, ordered: boolean): Promise<void> {
  const display = createDisplay(io);
  const leaving = new AbortController();
  let asked = !ordered;

  const onInterrupt = (): void => {
    if (asked) {
      leaving.abort(new LeftWatching(`left; the migration goes on. Watch it again with: sealift migration watch ${id}`));
      return;
    }
    asked = true;
    display.note('Asking the manager to cancel; Ctrl-C again leaves it alone.');
    manager.cancelMigration({ params: { migration: id } }).catch((error: unknown) => {
      display.note(`It is not cancelled: ${error instanceof Error ? error.message : error}`);
    });
  };
  process.on('SIGINT', onInterrupt);
  try {
    let last: Migration | undefined;
    const onLost = (): void => display.note('The manager does not answer; the migration goes on without it. Asking again for a minute.');
    for await (const migration of follow(manager, id, { signal: leaving.signal, onLost })) {
      display.show(migration);
      if (migration.phase === 'in-doubt' && last?.phase !== 'in-doubt' && !io.json) doubtLines(migration).forEach(display.note);
      last = migration;
    }
    if (last) {
      display.end(last);
      if (last.phase !== 'completed' && !io.json) await showWhere(manager, last, io.print);
      failUnlessCompleted(last);
    }
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}

/** Where the VM is by now, which a migration that did not complete does not say. Silence where it cannot be asked: the end has been told. */
async function showWhere(manager: Context['manager'], { vm }: Migration, print: (line: string) => void): Promise<void> {
  const now = await manager.getVm({ params: { vm } }).catch(() => undefined);
  if (!now) return;
  print(`Now: ${vm} is ${now.state} on ${now.host}`);
  if (now.problem !== undefined) print(now.problem);
}

function failUnlessCompleted({ phase, failure }: Migration): void {
  if (phase === 'completed') return;
  const converged = failure?.code !== 'did_not_converge';
  const code = phase === 'cancelled' ? 'cancelled' : converged ? 'migration_failed' : 'did_not_converge';
  throw new AlreadyTold(code, failure?.message ?? `the migration ended as ${phase}`);
}
