/** Tells an agent that an attempt is off, until it has heard it and nothing of the attempt is left at its host. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { AgentLink } from '../agents/link.ts';
import { isFinal } from './merge.ts';

const answerMs = 10_000;
const firstWaitMs = 1_000;
const longestWaitMs = 30_000;

/** @returns two promises, neither of which rejects: after the first try, and after the last */
export function undoAt(
  link: AgentLink,
  migration: string,
  signal: AbortSignal,
  log: Logger,
): { tried: Promise<void>; done: Promise<void> } {
  const first = Promise.withResolvers<void>();
  const work = async () => {
    for (let wait = firstWaitMs; !signal.aborted; wait = Math.min(wait * 2, longestWaitMs)) {
      const heard = await tell(link, migration, signal);
      first.resolve();
      if (heard) return;
      log.warn({ migration, host: link.host }, 'an agent has not heard yet that a migration is off; trying again');
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
    first.resolve();
  };
  return { tried: first.promise, done: work() };
}

async function tell(link: AgentLink, migration: string, signal: AbortSignal): Promise<boolean> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
  const params = { migration };
  try {
    await link.client.cancelAttempt({ params }, inTime);
    // It has begun to clear up. Its last report comes when it has done so: a VM that is ordered to move again then finds room.
    for await (const report of link.client.watchAttempt({ params }, inTime)) if (isFinal(report)) return true;
    return false;
  } catch (error) {
    // It knows nothing of the attempt, or has ended it by itself.
    return error instanceof SealiftError && (error.code === 'not_found' || error.code === 'wrong_state');
  }
}
