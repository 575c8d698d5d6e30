/** One side's part in settling an attempt: what it says of it, what it believes, and asking until it is settled. */
import { randomBytes, X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Peer, Statement, Verdict } from '@sealift/contract';
import type { Logger } from 'pino';
import type { AgentHost } from '../attempts.ts';
import { askPeer } from './ask.ts';
import { checkStatement, makeStatement, type Subject } from './statement.ts';

const firstWaitMs = 250;
const longestWaitMs = 2_000;
/** Silence is told again after so many questions: some two minutes. */
const asksBetweenWarnings = 60;

export class Settlement {
  /** Of this side's own questions: a statement that was made before this agent was in doubt does not carry it. */
  readonly challenge = randomBytes(16).toString('base64url');
  readonly #host: AgentHost;
  readonly #subject: Subject;
  readonly #peer: Peer;
  readonly #log: Logger;
  #asking: AbortController | undefined;

  constructor(host: AgentHost, subject: Subject, peer: Peer, log: Logger) {
    this.#host = host;
    this.#subject = subject;
    this.#peer = peer;
    this.#log = log;
  }

  /** Signs a verdict of this host. */
  say(verdict: Verdict, challenge: string): Statement {
    const { identity, certificates } = this.#host;
    return makeStatement(this.#subject, verdict, challenge, identity.name, certificates);
  }

  /**
   * @returns what the other host says, and whether it said so after this side was in doubt
   * @throws SealiftError `not_authorised`
   */
  believe(statement: Statement): { readonly verdict: Verdict; readonly fresh: boolean } {
    checkStatement(statement, this.#subject, this.#peer, new X509Certificate(this.#host.certificates.pem.ca));
    return { verdict: statement.verdict, fresh: statement.challenge === this.challenge };
  }

  /** Asks the other host's agent, again and again, until {@link stop}. @param heard with each statement of its, checked */
  start(heard: (verdict: Verdict) => void): void {
    if (this.#asking) return;
    const asking = new AbortController();
    this.#asking = asking;
    void this.#ask(heard, asking.signal);
  }

  stop(): void {
    this.#asking?.abort();
    this.#asking = undefined;
  }

  async #ask(heard: (verdict: Verdict) => void, signal: AbortSignal): Promise<void> {
    const { attempt, migration } = this.#subject;
    const { challenge } = this;
    let wait = firstWaitMs;
    for (let asked = 0; !signal.aborted; asked++) {
      try {
        const { statement } = await askPeer(this.#peer, this.#host.certificates, migration, { attempt, challenge }, signal);
        if (signal.aborted) return;
        if (statement) heard(this.believe(statement).verdict);
      } catch (error) {
        if (signal.aborted) return;
        if (asked % asksBetweenWarnings === 0)
          this.#log.warn({ err: error }, `the migration is in doubt, and ${this.#peer.name} does not settle it yet`);
      }
      await sleep(wait, undefined, { signal, ref: false }).catch(() => undefined);
      wait = Math.min(wait * 2, longestWaitMs);
    }
  }
}
