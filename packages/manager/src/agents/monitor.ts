/** One host under watch: asked every few seconds and after each order how it is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Host, type HostReport, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Store, StoredHost } from '../store/store.ts';
import type { AgentLink } from './link.ts';

/** What else a host hears when it is asked how it is. */
export interface Greet {
  /** What it has missed. @throws SealiftError agent_unreachable where it does not answer */
  before(link: AgentLink): Promise<void>;
  /** What its answer shows that it has to hear again. Never rejects. */
  after(link: AgentLink, report: HostReport): Promise<void>;
}

type Seen = { readonly report: HostReport; readonly problem?: never } | { readonly problem: string; readonly report?: HostReport };

export class MonitoredHost {
  readonly link: AgentLink;
  readonly #stored: StoredHost;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #greet: Greet;
  readonly #closing = new AbortController();
  readonly #polling: Promise<void>;
  #seen: Seen | undefined;
  #lastSeenAt: number | undefined;
  /** Answers may overtake each other: one that was asked for earlier than the one shown is dropped. */
  #asked = 0;
  #shown = 0;
  /** Resolves when the host has first answered or not answered. */
  readonly #first: Promise<unknown>;

  constructor(stored: StoredHost, link: AgentLink, store: Store, log: Logger, pollMs: number, greet: Greet, report?: HostReport) {
    this.link = link;
    this.#greet = greet;
    this.#stored = stored;
    this.#store = store;
    this.#log = log.child({ host: stored.name });
    this.#lastSeenAt = stored.lastSeenAt;
    if (report) this.#seen = { report };
    this.#first = report ? Promise.resolve() : this.refresh();
    this.#polling = this.#poll(pollMs);
  }

  get name(): string {
    return this.#stored.name;
  }

  /** What it last said, while it answers. */
  get current(): HostReport | undefined {
    return this.#seen?.problem === undefined ? this.#seen?.report : undefined;
  }

  /** As people see it; waits for the first answer after the manager has started. */
  async view(): Promise<Host> {
    await this.#first;
    const known = new Set((await this.#store.listVms()).map((vm) => vm.name));
    const { name, endpoint } = this.#stored;
    const seen = this.#seen;
    const unknown = (seen?.report?.vms ?? []).map(({ definition }) => definition.name).filter((vm) => !known.has(vm));
    return {
      name,
      endpoint,
      cluster: 'default',
      maintenance: 'none',
      state: seen && seen.problem === undefined ? 'connected' : 'unreachable',
      ...(seen?.problem !== undefined && { problem: seen.problem }),
      ...(this.#lastSeenAt !== undefined && { lastSeenAt: this.#lastSeenAt }),
      ...(seen?.report && { report: seen.report }),
      ...(unknown.length > 0 && { unknownVms: unknown }),
    };
  }

  /**
   * Asks now.
   * @throws SealiftError agent_unreachable
   */
  async ask(): Promise<HostReport> {
    const number = ++this.#asked;
    try {
      await this.#greet.before(this.link);
      const report = await this.link.report();
      if (report.name !== this.name) {
        throw new SealiftError('agent_unreachable', `the agent at ${this.#stored.endpoint} serves host ${report.name}, not ${this.name}`);
      }
      await this.#show(number, { report });
      await this.#greet.after(this.link, report);
      return report;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      await this.#show(number, { problem, ...(this.#seen?.report && { report: this.#seen.report }) });
      throw error;
    }
  }

  /** Asks now, and takes silence for an answer. */
  async refresh(): Promise<void> {
    await this.ask().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.link.close();
    await this.#polling;
  }

  async #show(number: number, seen: Seen): Promise<void> {
    if (number < this.#shown || this.#closing.signal.aborted) return;
    this.#shown = number;
    const before = this.#seen;
    this.#seen = seen;
    if (seen.problem === undefined) this.#lastSeenAt = Date.now();
    if (before?.problem === seen.problem && before !== undefined) return;
    if (seen.problem !== undefined) this.#log.warn({ problem: seen.problem }, 'host unreachable');
    else this.#log.info('host connected');
    // Kept when it changes, not at each poll: a commit is an fsync.
    if (this.#lastSeenAt === undefined) return;
    await this.#store.hostSeen(this.name, this.#lastSeenAt).catch((error) => this.#log.error({ err: error }, 'last seen was not recorded'));
  }

  async #poll(pollMs: number): Promise<void> {
    const { signal } = this.#closing;
    await this.#first;
    while (!signal.aborted) {
      await sleep(pollMs, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.refresh();
    }
  }
}
