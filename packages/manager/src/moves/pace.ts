/** Waiting between two rounds of a runner: for something to have happened to its migrations, or for a while. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Events } from '../events/events.ts';
import type { News } from '../store/store.ts';

export class Pace {
  readonly #roundMs: number;
  readonly #signal: AbortSignal;
  readonly #stop: () => void;
  #woken = Promise.withResolvers<void>();

  /**
   * @param concerns which news are worth a round at once
   * @param signal ends all waiting
   */
  constructor(events: Events, concerns: (news: News) => boolean, roundMs: number, signal: AbortSignal) {
    this.#roundMs = roundMs;
    this.#signal = signal;
    this.#stop = events.listen((news) => {
      if (concerns(news)) this.wake();
    });
  }

  readonly wake = (): void => this.#woken.resolve();

  /** @param atMostMs shorter than a round, where something is due earlier */
  async next(atMostMs: number = Number.POSITIVE_INFINITY): Promise<void> {
    const done = new AbortController();
    const signal = AbortSignal.any([this.#signal, done.signal]);
    const timer = sleep(Math.max(1, Math.min(this.#roundMs, atMostMs)), undefined, { signal }).catch(() => undefined);
    await Promise.race([this.#woken.promise, timer]);
    done.abort();
    this.#woken = Promise.withResolvers();
  }

  end(): void {
    this.#stop();
  }
}
