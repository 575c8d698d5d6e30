/**
 * Carries statements between two agents that are in doubt and cannot reach each other (docs/handover.md "settlement"). The agents verify what
 * they are brought; the manager keeps nothing of it and decides nothing. The agents ask each other as well: whoever is first settles it.
 *
 *     source in doubt           settle(destination, a challenge made up here) → statement → settle(source, statement)
 *     destination in doubt      settle(source, the destination's challenge)   → statement → settle(destination, statement)
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AttemptReport, type Migration, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { AgentLink } from '../agents/link.ts';
import type { Parties } from './begin.ts';
import { isInDoubt } from './merge.ts';

const firstWaitMs = 500;
const longestWaitMs = 5_000;
const answerMs = 5_000;

/** What each side last said; undefined where it has not been heard. */
export interface Reports {
  readonly source: AttemptReport | undefined;
  readonly destination: AttemptReport | undefined;
}

export class Relay {
  readonly #parties: Parties;
  readonly #migration: Pick<Migration, 'id' | 'attempt' | 'vm'>;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  #reports: Reports = { source: undefined, destination: undefined };
  #work: Promise<void> | undefined;

  constructor(parties: Parties, migration: Pick<Migration, 'id' | 'attempt' | 'vm'>, log: Logger, signal: AbortSignal) {
    this.#parties = parties;
    this.#migration = migration;
    this.#log = log.child({ migration: migration.id, vm: migration.vm });
    this.#signal = signal;
  }

  /** Begins to carry statements where one side is in doubt, and stops where none is any more. */
  consider(reports: Reports): void {
    this.#reports = reports;
    if (this.#doubtful && !this.#signal.aborted) {
      this.#work ??= this.#run().finally(() => {
        this.#work = undefined;
      });
    }
  }

  /** Resolves when nothing is under way any more; the signal ends it. */
  async ended(): Promise<void> {
    await this.#work;
  }

  get #doubtful(): boolean {
    return isInDoubt(this.#reports.source) || isInDoubt(this.#reports.destination);
  }

  async #run(): Promise<void> {
    let said = '';
    for (let wait = firstWaitMs; this.#doubtful && !this.#signal.aborted; wait = Math.min(wait * 2, longestWaitMs)) {
      try {
        await this.#carry();
        said = '';
      } catch (error) {
        if (this.#signal.aborted) return;
        const words = error instanceof Error ? error.message : String(error);
        // The same reason again is no news: a host may be away for days.
        if (words !== said) this.#log.warn({ reason: words }, 'a migration in doubt is not settled yet; trying on');
        said = words;
      }
      await sleep(wait, undefined, { signal: this.#signal, ref: false }).catch(() => undefined);
    }
  }

  /** @throws SealiftError where an agent does not answer, or refuses what it is brought */
  async #carry(): Promise<void> {
    const { source, destination } = this.#parties;
    const reports = this.#reports;
    const challenge = isInDoubt(reports.destination) ? reports.destination?.challenge : undefined;
    // A destination in doubt has nothing to say to the source until the source has cleared it.
    if (challenge !== undefined) await this.#bring(source, destination, challenge);
    else if (isInDoubt(reports.source)) await this.#bring(destination, source, newChallenge());
  }

  /** Asks one for its statement, and brings it to the other. */
  async #bring(from: AgentLink, to: AgentLink, challenge: string): Promise<void> {
    const { id, attempt } = this.#migration;
    const params = { migration: id };
    const { statement } = await from.client.settleAttempt({ params, body: { attempt, challenge } }, this.#inTime());
    if (!statement) throw new SealiftError('wrong_state', `host ${from.host} has not decided yet`);
    await to.client.settleAttempt({ params, body: { attempt, challenge: newChallenge(), statement } }, this.#inTime());
    this.#log.info({ from: from.host, to: to.host, verdict: statement.verdict }, 'carried a statement');
  }

  #inTime(): AbortSignal {
    return AbortSignal.any([this.#signal, AbortSignal.timeout(answerMs)]);
  }
}

const newChallenge = (): string => randomBytes(16).toString('base64url');
