/** The stream of events without a gap: where it breaks off it goes on behind the last event that was seen. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Event } from '@sealift/contract';
import type { Manager } from '../manager/connect.ts';
import { asLost } from '../manager/follow.ts';

export interface StreamOptions {
  readonly signal?: AbortSignal;
  /** Go on behind this one. Left out: from now on. */
  readonly since?: number | undefined;
  /** Told once for each time that the manager stops answering. */
  readonly onLost?: () => void;
  /** Between two attempts. */
  readonly pauseMs?: number;
}

type Source = Pick<Manager, 'watchEvents' | 'listEvents'>;

/**
 * Goes on until the signal: a manager that is away is asked again and again.
 * @throws SealiftError whatever the manager answers, and `manager_unreachable` where it was never there
 */
export async function* streamEvents(manager: Source, { signal, since, onLost, pauseMs = 1000 }: StreamOptions = {}): AsyncGenerator<Event> {
  // "Now" is the newest event there is: without a number, what happens before the first one arrives would be missed if the line broke.
  let last = since ?? (await manager.listEvents({ query: { limit: 1 } }, signal))[0]?.id;
  let away = false;
  let heard = since === undefined;
  for (;;) {
    try {
      for await (const event of manager.watchEvents(last === undefined ? {} : { lastEventId: last }, signal)) {
        heard = true;
        away = false;
        if (last !== undefined && event.id <= last) continue; // told again, as a stream may that goes on
        last = event.id;
        yield event;
      }
    } catch (cause) {
      signal?.throwIfAborted();
      const error = asLost(cause);
      if (!heard) throw error;
    }
    if (!away) onLost?.();
    away = true;
    await sleep(pauseMs, undefined, signal && { signal });
  }
}
