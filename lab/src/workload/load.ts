/** The load on a guest: some connections that write in closed loops, and what they found. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type CheckerResult, checkerKey } from '../guest/checker.ts';
import { type Connection, openConnection, type Patience, type Target } from './connection.ts';
import { Ledger } from './ledger.ts';
import type { LoadReport } from './protocol.ts';
import { Writer } from './writer.ts';

export interface LoadOptions {
  readonly target: Target;
  readonly connections: number;
  /** Of all connections together, where the guest answers in time. */
  readonly writesPerSecond: number;
  /** Connects again where the guest is silent for so long; without it, waits for as long as TCP does. */
  readonly silenceMs?: number;
}

export const slotsPerConnection = 256;

export class Load {
  readonly #options: LoadOptions;
  readonly #writers: readonly Writer[];
  readonly #patience: Patience;
  readonly #lag = monitorEventLoopDelay({ resolution: 5 });
  #running: Promise<unknown> | undefined;
  #side: Connection | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
    const { silenceMs } = options;
    this.#patience = silenceMs === undefined ? {} : { silenceMs, timeoutMs: silenceMs };
    const periodMs = (options.connections * 1000) / options.writesPerSecond;
    this.#writers = Array.from(
      { length: options.connections },
      (_, index) => new Writer(options.target, new Ledger(`c${index}`, slotsPerConnection), periodMs, this.#patience),
    );
  }

  async plant(texts: readonly string[]): Promise<void> {
    const side = await this.#sideConnection();
    const replies = await Promise.all(texts.map((text, index) => side.command('SET', `marker:${index}`, text)));
    const refused = replies.find((reply) => reply !== 'OK');
    if (refused !== undefined) throw new Error(`Redis would not take a marker: ${refused}`);
  }

  async start(): Promise<void> {
    if (this.#running !== undefined) throw new Error('the load is running already');
    const connections = await Promise.all(this.#writers.map(() => openConnection(this.#options.target, this.#patience)));
    this.#lag.enable();
    // Both arrays are made from the writers.
    this.#running = Promise.all(this.#writers.map((writer, index) => writer.run(connections[index] as Connection)));
    this.#running.catch(() => {}); // finish() tells
  }

  reset(): void {
    for (const writer of this.#writers) writer.resetGap();
    this.#lag.reset();
  }

  report(): LoadReport {
    const sum = (of: (writer: Writer) => number): number => this.#writers.reduce((total, writer) => total + of(writer), 0);
    return {
      acknowledgedWrites: sum((writer) => writer.acknowledged),
      lostWrites: sum((writer) => writer.lost),
      wrongValues: sum((writer) => writer.wrong),
      reconnects: sum((writer) => writer.reconnects),
      refusedWrites: sum((writer) => writer.refused),
      guestGapMs: Math.max(...this.#writers.map((writer) => writer.gapMs())),
      clientLagMs: this.#lag.count === 0 ? 0 : this.#lag.max / 1e6,
    };
  }

  /** @returns undefined where the guest runs no checker */
  async checker(): Promise<CheckerResult | undefined> {
    const side = await this.#sideConnection();
    const reply = await side.command('HMGET', checkerKey, 'passes', 'errors', 'pages').catch((error) => {
      this.#side = undefined; // the next question gets a new connection; that this one broke is the asker's to tell
      throw error;
    });
    if (!Array.isArray(reply) || reply[0] === null) return undefined;
    const [passes = Number.NaN, errors = Number.NaN, pages = Number.NaN] = reply.map(Number);
    return { passes, errors, pages };
  }

  async finish(): Promise<LoadReport> {
    const { guestGapMs } = this.report(); // reading back is no longer the load that is measured
    for (const writer of this.#writers) writer.stop();
    await this.#running;
    this.#side?.close();
    return { ...this.report(), guestGapMs };
  }

  async #sideConnection(): Promise<Connection> {
    this.#side ??= await openConnection(this.#options.target, this.#patience);
    return this.#side;
  }
}
