/** How often each VM was tried, where, and when it may be tried again. Pure. */
import type { Migration } from '@sealift/contract';

export interface Patience {
  /** Of one VM. */
  readonly attempts: number;
  /** After the first failure; doubled after each further one. */
  readonly firstWaitMs: number;
}

export interface Tried {
  readonly count: number;
  /** Destinations that it did not come to. */
  readonly hosts: ReadonlySet<string>;
  /** Of the last time. */
  readonly at: number;
  readonly why: string;
}

/** An order that was refused counts as an attempt, too. */
export type Refusal = Pick<Migration, 'vm' | 'to'> & { readonly at: number; readonly why: string };

export function triedOf(ended: readonly Migration[], refusals: readonly Refusal[]): Map<string, Tried> {
  const failed = ended
    .filter(({ phase }) => phase !== 'completed')
    .map(({ vm, to, endedAt = 0, phase, failure }) => ({ vm, to, at: endedAt, why: failure?.message ?? phase }));
  const tried = new Map<string, Tried>();
  for (const { vm, to, at, why } of [...failed, ...refusals].sort((a, b) => a.at - b.at)) {
    const before = tried.get(vm);
    tried.set(vm, { count: (before?.count ?? 0) + 1, hosts: new Set([...(before?.hosts ?? []), to]), at, why });
  }
  return tried;
}

/** When the next attempt may begin; undefined where there is to be none. */
export function nextAttemptAt({ count, at }: Tried, { attempts, firstWaitMs }: Patience): number | undefined {
  return count >= attempts ? undefined : at + firstWaitMs * 2 ** (count - 1);
}
