/**
 * Spares the manager what nobody looks at: the events of an attempt that are asked for with `Prefer: progress=SECONDS` (RFC 7240 §2; a preference of
 * sealift's own) tell how far it has come no more often than that. Everything else is told at once.
 */
import { isDeepStrictEqual } from 'node:util';
import type { AttemptReport } from '@sealift/contract';

const longestSeconds = 60;

/** @param prefer the request's header. @returns ms; 0 where nothing is preferred */
export function progressMs(prefer: unknown): number {
  const seconds = /(?:^|[,;]\s*)progress=(\d{1,4})\b/.exec(String(prefer ?? ''))?.[1] ?? 0;
  return Math.min(Number(seconds), longestSeconds) * 1000;
}

/** Without the reports that differ from the one before in their progress alone and come earlier than so many ms after the last that was passed on. */
export async function* sparsely(reports: AsyncIterable<AttemptReport>, ms: number): AsyncGenerator<AttemptReport> {
  let [before, next]: [unknown, number] = [undefined, 0];
  for await (const report of reports) {
    const { progress: _, ...rest } = report;
    const now = performance.now();
    if (now < next && isDeepStrictEqual(rest, before)) continue;
    before = rest;
    next = now + ms;
    yield report;
  }
}
