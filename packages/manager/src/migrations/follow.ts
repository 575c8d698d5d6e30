/**
 * Follows a migration until it has ended, through lost connections and restarts on either side.
 *
 * Two watchers run in parallel, one for each agent's event stream; each owns its side's account. The loop merges both whenever one
 * has changed, or when the merge asked to look again, and records one verdict at a time. While a side is in doubt, a relay runs beside them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Migration, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { AgentLink } from '../agents/link.ts';
import type { Parties } from './begin.ts';
import { hasRun, isFinal, merge, type Side, type Verdict } from './merge.ts';
import { Relay } from './relay.ts';

const firstWaitMs = 250;
const longestWaitMs = 5_000;
/** How often it is heard how far a migration has come while nobody watches it: thousands would otherwise be most of what the manager does. */
const unwatchedSeconds = 2;

export interface Follow extends Parties {
  readonly migration: Migration;
  readonly channels: number;
  readonly begunAt: number | undefined;
  readonly doubt: SealiftError | undefined;
  readonly log: Logger;
  /** Aborted when the manager stops, or when an administrator has decided; the migration then goes on without it. */
  readonly signal: AbortSignal;
  /** Aborted once somebody watches it, who is then told all that its agents tell. */
  readonly watched: AbortSignal;
  readonly record: (verdict: Verdict) => Promise<void>;
}

/** @returns when the end has been recorded, or the signal was aborted */
export async function follow(options: Follow): Promise<void> {
  const { source, destination, channels, begunAt, doubt, log, signal, watched, record } = options;
  let migration = options.migration;
  const accounts: { source: Side; destination: Side; completedAt?: number; sourceEndedAt?: number } = { source: {}, destination: {} };

  let changed = Promise.withResolvers<void>();
  const wake = () => changed.resolve();
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  until.addEventListener('abort', wake);
  const watch = (link: AgentLink, side: 'source' | 'destination') =>
    watchSide(link, migration, { until, watched }, (account) => {
      accounts[side] = account;
      wake();
    });
  const watchers = [watch(source, 'source'), watch(destination, 'destination')];
  const relay = new Relay({ source, destination }, migration, log, until);

  try {
    // A signal that was aborted before all this tells nobody any more.
    while (!until.aborted) {
      await changed.promise;
      if (until.aborted) return;
      changed = Promise.withResolvers();
      const now = Date.now();
      relay.consider({ source: accounts.source.report, destination: accounts.destination.report });
      if (accounts.source.report?.phase === 'completed' || hasRun(accounts.destination)) accounts.completedAt ??= now;
      if (accounts.source.report && isFinal(accounts.source.report)) accounts.sourceEndedAt ??= now;
      const verdict = merge(migration, { ...accounts, now, channels, ...(begunAt !== undefined && { begunAt }), ...(doubt && { doubt }) });
      let again = verdict.lookAgainInMs;
      try {
        await record(verdict);
        migration = verdict.migration;
        if (migration.endedAt !== undefined) return;
      } catch (error) {
        log.error({ err: error, migration: migration.id }, 'the state of a migration could not be recorded; it is tried again');
        again = firstWaitMs;
      }
      if (again !== undefined) setTimeout(wake, again).unref();
    }
  } finally {
    done.abort();
    await Promise.all([...watchers, relay.ended()]);
  }
}

/** Keeps one side's account up to date until that side has ended. */
async function watchSide(
  link: AgentLink,
  { id, vm }: Migration,
  { until, watched }: { readonly until: AbortSignal; readonly watched: AbortSignal },
  tell: (side: Side) => void,
): Promise<void> {
  let side: Side = {};
  let wait = firstWaitMs;
  while (!until.aborted) {
    const [seconds, signal] = watched.aborted ? [0, until] : [unwatchedSeconds, AbortSignal.any([until, watched])];
    try {
      for await (const report of link.watchAttempt(id, seconds, signal)) {
        wait = firstWaitMs;
        side = { report };
        tell(side);
        if (isFinal(report)) return;
      }
    } catch (error) {
      if (until.aborted) return;
      if (signal.aborted) continue;
      side = await afterError(error, side, link, vm);
      tell(side);
    }
    await sleep(wait, undefined, { signal: until }).catch(() => undefined);
    wait = Math.min(wait * 2, longestWaitMs);
  }
}

/** An agent that does not know the attempt is asked how it has the VM; every other error is silence. */
async function afterError(error: unknown, side: Side, link: AgentLink, vm: string): Promise<Side> {
  const known = side.report && { report: side.report };
  if (error instanceof SealiftError && error.code === 'not_found') {
    const host = await link.report().catch(() => undefined);
    if (host) return { ...known, missing: { vm: host.vms.find((each) => each.definition.name === vm)?.state } };
  }
  return { ...known, silentSince: side.silentSince ?? Date.now() };
}
