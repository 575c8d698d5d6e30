/** The states of a migration as the manager tells them, to its end, across a manager that is away for a while. */
import { setTimeout as sleep } from 'node:timers/promises';
import { finalPhases, type Migration, SealiftError } from '@sealift/contract';
import type { Manager } from '../manager/connect.ts';

export interface FollowOptions {
  readonly signal?: AbortSignal;
  /** Told when the manager stops answering: the migration itself does not need it. */
  readonly onLost?: (error: SealiftError) => void;
  /** Times to ask again after the manager stopped answering. */
  readonly retries?: number;
  /** Between two of them. */
  readonly pauseMs?: number;
}

type Source = Pick<Manager, 'watchMigration'>;

export const isFinal = ({ phase }: Migration): boolean => finalPhases.includes(phase);

/** @throws SealiftError `manager_unreachable` where the manager does not come back, and whatever else it answers */
export async function* follow(
  manager: Source,
  id: string,
  { signal, onLost, retries = 60, pauseMs = 1000 }: FollowOptions = {},
): AsyncGenerator<Migration> {
  let heard = false;
  for (let left = retries; ; ) {
    try {
      for await (const migration of manager.watchMigration({ params: { migration: id } }, signal)) {
        heard = true;
        left = retries;
        yield migration;
        if (isFinal(migration)) return;
      }
      throw new SealiftError('manager_unreachable', 'the manager closed the stream before the migration had ended');
    } catch (cause) {
      signal?.throwIfAborted();
      const error = asLost(cause);
      if (!heard || left === 0) throw error;
      if (left-- === retries) onLost?.(error);
      await sleep(pauseMs, undefined, signal && { signal });
    }
  }
}

/** A stream that breaks off is no error of the API, but of the way to it. Anything that the manager answered stands. */
function asLost(cause: unknown): SealiftError {
  if (!(cause instanceof SealiftError)) {
    const words = cause instanceof Error ? cause.message : String(cause);
    return new SealiftError('manager_unreachable', `the manager stopped answering: ${words}`, { cause });
  }
  if (cause.code !== 'manager_unreachable') throw cause;
  return cause;
}
