/** What tasks say of themselves. Pure. */
import { type Migration, type MigrationFailure, type MigrationPhase, SealiftError, type Task } from '@sealift/contract';
import type { StoredTask } from '../store/store.ts';

export function failureOf(error: unknown): MigrationFailure {
  if (error instanceof SealiftError) return { code: error.code, message: error.message };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}

/** Of a lifecycle order whose manager went away before it had heard of the end. */
export function cutOff({ title, subject: { vm } }: StoredTask): MigrationFailure {
  const message = `the manager was stopped before "${title}" had ended; it may have been done, or not`;
  return { code: 'internal', message, ...(vm !== undefined && { advice: `See how it is now: sealift vm show ${vm}` }) };
}

const beforeGrant: readonly MigrationPhase[] = ['preparing', 'connecting', 'copying', 'switching-over'];

export function isCancellable({ kind, state, cancelledAt }: StoredTask, migration?: Migration): boolean {
  if (state !== 'running') return false;
  if (kind === 'migrate') return migration !== undefined && beforeGrant.includes(migration.phase);
  return (kind === 'drain' || kind === 'balance') && cancelledAt === undefined;
}

/** How much of a migration's copy is there; never all of it before the end. */
export function percentOf({ phase, progress }: Migration): Task['progress'] {
  if (phase === 'completed') return { done: 100, total: 100 };
  const { total = 0, remaining = 0 } = progress?.ram ?? {};
  const copied = total > 0 ? Math.floor(((total - remaining) / total) * 100) : 0;
  return { done: Math.min(99, Math.max(0, copied)), total: 100 };
}
