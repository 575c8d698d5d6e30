/** Forgets old history now and then, a little at a time. */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Store } from '../store/store.ts';

export interface HistoryPolicy {
  /** What happened, or ended, earlier is forgotten. */
  readonly days: number;
  /** Of events, never more than so many are kept. */
  readonly events: number;
}

export const defaultHistory: HistoryPolicy = { days: 90, events: 500_000 };

const dayMs = 86_400_000;
const everyMs = 600_000;

export class Keeping {
  readonly #store: Store;
  readonly #policy: HistoryPolicy;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #pruning: Promise<void> = Promise.resolve();

  constructor(store: Store, policy: HistoryPolicy, log: Logger) {
    this.#store = store;
    this.#policy = policy;
    this.#log = log;
  }

  open(): void {
    const prune = () => {
      this.#pruning = this.#pruning.then(() => this.prune());
    };
    prune();
    this.#timer = setInterval(prune, everyMs).unref();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#timer);
    await this.#pruning;
  }

  /** Never rejects. */
  async prune(): Promise<void> {
    const since = Date.now() - this.#policy.days * dayMs;
    let forgotten = 0;
    try {
      while (!this.#closing.signal.aborted) {
        const some = await this.#store.prune({ since, events: this.#policy.events });
        forgotten += some;
        if (some === 0) break;
        await yieldToOthers();
      }
    } catch (error) {
      this.#log.error({ err: error }, 'old history could not be forgotten; it is tried again');
    }
    if (forgotten > 0) this.#log.info({ forgotten }, 'old history was forgotten');
  }
}
