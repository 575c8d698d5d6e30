/** The states of something that ends, as the manager tells them, across a manager that is away for a while. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SealiftError } from '@sealift/contract';

export interface FollowOptions {
  readonly signal?: AbortSignal;
  /** Told when the manager stops answering. */
  readonly onLost?: (error: SealiftError) => void;
  /** Times to ask again after the manager stopped answering. */
  readonly retries?: number;
  /** Between two of them. */
  readonly pauseMs?: number;
}

interface Followed<T> {
  readonly what: string;
  /** Begins with the state as it is now. */
  open(signal: AbortSignal | undefined): AsyncIterable<T>;
  ended(state: T): boolean;
}

/** @throws SealiftError `manager_unreachable` where the manager does not come back, and whatever else it answers */
export async function* followToEnd<T>(
  { what, open, ended }: Followed<T>,
  { signal, onLost, retries = 60, pauseMs = 1000 }: FollowOptions = {},
): AsyncGenerator<T> {
  let heard = false;
  for (let left = retries; ; ) {
    try {
      for await (const state of open(signal)) {
        heard = true;
        left = retries;
        yield state;
        if (ended(state)) return;
      }
      throw new SealiftError('manager_unreachable', `the manager closed the stream before the ${what} had ended`);
    } catch (cause) {
      signal?.throwIfAborted();
      const error = asLost(cause);
      if (!heard || left === 0) throw error;
      if (left-- === retries) onLost?.(error);
      await sleep(pauseMs, undefined, signal && { signal });
    }
  }
}

/**
 * A stream that breaks off is no error of the API, but of the way to it.
 * @throws whatever the manager answered: that stands
 */
export function asLost(cause: unknown): SealiftError {
  if (!(cause instanceof SealiftError)) {
    const words = cause instanceof Error ? cause.message : String(cause);
    return new SealiftError('manager_unreachable', `the manager stopped answering: ${words}`, { cause });
  }
  if (cause.code !== 'manager_unreachable') throw cause;
  return cause;
}
