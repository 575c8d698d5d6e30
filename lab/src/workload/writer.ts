/**
 * A closed loop of writes over one connection. Each write is `SET slot n GET` (Redis 6.2), which answers with what the slot held until then:
 * so each write also reads back the one before it, and a rollback shows even in slots that are written again at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, ConnectionLost, openConnection, type Patience, type Target } from './connection.ts';
import { Gap } from './gap.ts';
import type { Ledger } from './ledger.ts';

export class Writer {
  readonly #target: Target;
  readonly #ledger: Ledger;
  readonly #periodMs: number;
  readonly #patience: Patience;
  readonly #gap = new Gap(performance.now());
  #running = true;
  acknowledged = 0;
  lost = 0;
  wrong = 0;
  /** Times that the connection broke: none may, in a live migration. */
  reconnects = 0;
  /** Answers of Redis that were errors. */
  refused = 0;

  /** @param periodMs from the start of one write to the start of the next, where its answer is there by then */
  constructor(target: Target, ledger: Ledger, periodMs: number, patience: Patience = {}) {
    this.#target = target;
    this.#patience = patience;
    this.#ledger = ledger;
    this.#periodMs = periodMs;
  }

  gapMs(): number {
    return this.#gap.longest(performance.now());
  }

  resetGap(): void {
    this.#gap.reset();
  }

  /** Ends the loop after the answer that it waits for. */
  stop(): void {
    this.#running = false;
  }

  /** Writes until {@link stop}; then reads every slot back. @param connection already open, so that the first gap is one of writing */
  async run(connection: Connection): Promise<void> {
    let current = connection;
    this.#gap.answered(performance.now());
    this.#gap.reset();
    let due = performance.now();
    while (this.#running) {
      current = await this.#write(current);
      due = Math.max(due + this.#periodMs, performance.now() - this.#periodMs);
      const wait = due - performance.now();
      if (wait > 0.5) await sleep(wait);
    }
    await this.#readBack(current);
    current.close();
  }

  async #write(connection: Connection): Promise<Connection> {
    const { number, slot, value } = this.#ledger.nextWrite();
    try {
      const before = await connection.command('SET', this.#ledger.key(slot), value, 'GET');
      this.#gap.answered(performance.now());
      if (before instanceof Error) {
        this.refused++;
        this.#ledger.leaveUncertain(number);
        return connection;
      }
      this.#judge(slot, before);
      this.#ledger.acknowledge(number);
      this.acknowledged++;
      return connection;
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      this.#ledger.leaveUncertain(number);
      return this.#reconnect();
    }
  }

  async #readBack(connection: Connection): Promise<void> {
    let current = connection;
    for (let slot = 0; slot < this.#ledger.slots; slot++) {
      try {
        this.#judge(slot, await current.command('GET', this.#ledger.key(slot)));
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        current = await this.#reconnect();
        slot--;
      }
    }
  }

  async #reconnect(): Promise<Connection> {
    this.reconnects++;
    for (;;) {
      try {
        return await openConnection(this.#target, this.#patience);
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        await sleep(100);
      }
    }
  }

  #judge(slot: number, value: unknown): void {
    const { lost, wrong } = this.#ledger.examine(slot, value);
    this.lost += lost;
    if (wrong) this.wrong++;
  }
}
