/** The threads of a transport: one gate, several pumps. Each sleeps in poll(2); a message to it is followed by a write to its eventfd. */
import os from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { TransportError } from './errors.ts';
import { libc } from './native/libc.ts';
import { allocate } from './native/memory.ts';
import { stopMessage } from './worker/loop.ts';
import type { GateCommand, GateReport, PumpCommand, PumpReport } from './worker/messages.ts';

const one = allocate(8);
one.bytes[0] = 1;

/** A worker thread as the main thread sees it. `C` goes to it, `R` comes back. */
class Thread<C, R> {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #wakeFd: number;
  readonly #cpu = new Float64Array(new SharedArrayBuffer(8));
  readonly #exited: Promise<void>;
  #stopping = false;
  #gone = false;
  #failure: unknown;

  constructor(file: URL, onReport: (report: R) => void, onDeath: (error: TransportError) => void) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#wakeFd = libc.eventfd(0, 0o2004000);
    if (this.#wakeFd < 0) throw new TransportError('local', 'eventfd failed');
    port1.on('message', onReport);
    const boot = { port: port2, wakeFd: this.#wakeFd, cpu: this.#cpu.buffer };
    this.#worker = new Worker(file, { workerData: boot, transferList: [port2] });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#gone = true;
        port1.close();
        libc.close(this.#wakeFd);
        if (!this.#stopping) onDeath(new TransportError('local', 'a transport thread ended unexpectedly', this.#failure));
        resolve();
      });
    });
    // 'exit' follows, and is what ends the sessions.
    this.#worker.on('error', (error) => {
      this.#failure = error;
    });
  }

  get cpuSeconds(): number {
    return this.#cpu[0] ?? 0;
  }

  /** @returns false where the thread has ended: its descriptor's number may belong to somebody else by now, so nothing is written to it */
  post(command: C | typeof stopMessage): boolean {
    if (this.#gone) return false;
    this.#port.postMessage(command);
    libc.write(this.#wakeFd, one.address, 8);
    return true;
  }

  stop(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.post(stopMessage);
    }
    return this.#exited;
  }
}

export class Pool {
  readonly gate: Thread<GateCommand, GateReport>;
  readonly pumps: readonly Thread<PumpCommand, PumpReport>[];

  /**
   * @param threads pumps; by default one a core, at most 16
   * @param handlers `death` is called once for each thread that ends without having been told to
   */
  constructor(
    threads: number | undefined,
    handlers: { gate: (report: GateReport) => void; pump: (report: PumpReport) => void; death: (error: TransportError) => void },
  ) {
    const count = threads ?? Math.min(16, os.availableParallelism());
    this.gate = new Thread(new URL('./worker/gate-thread.ts', import.meta.url), handlers.gate, handlers.death);
    this.pumps = Array.from(
      { length: count },
      () => new Thread<PumpCommand, PumpReport>(new URL('./worker/pump-thread.ts', import.meta.url), handlers.pump, handlers.death),
    );
  }

  /** Of all threads since they started. */
  get cpuSeconds(): number {
    return this.pumps.reduce((sum, pump) => sum + pump.cpuSeconds, this.gate.cpuSeconds);
  }

  async stop(): Promise<void> {
    await Promise.all([this.gate, ...this.pumps].map((thread) => thread.stop()));
  }
}
