/** Waiting for what is looked at again and again. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Wait {
  readonly withinMs: number;
  readonly everyMs?: number;
  readonly signal: AbortSignal;
}

/** @returns the first answer that is neither undefined nor false; undefined where there is none in time */
export const until = async <T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  { withinMs, everyMs = 50, signal }: Wait,
): Promise<T | undefined> => {
  const end = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) return undefined;
    await sleep(everyMs, undefined, { signal });
  }
};
