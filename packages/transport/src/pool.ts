/** The threads of a transport: one gate, several pumps. Each sleeps in poll(2); a message to it is followed by a write to its eventfd. */
import os from 'node:os';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { TransportError } from './errors.ts';
import { assign, newOwners } from './native/descriptors.ts';
import { newLedger } from './native/holdings.ts';
import { libc } from './native/libc.ts';
import { allocate } from './native/memory.ts';
import { reclaim } from './native/reclaim.ts';
import { stopMessage, type WorkerBoot } from './worker/loop.ts';
import type { GateCommand, GateReport, PumpCommand, PumpReport } from './worker/messages.ts';

const one = allocate(8);
one.bytes[0] = 1;

/** The main thread answers for a descriptor while it has it, and where nobody has. */
const mainThread = 0;

/**
 * A worker thread as the main thread sees it. `C` goes to it, `R` comes back. However it ends, nothing stays of what it held: contexts, key
 * pairs, pages and descriptors are freed for it, and the keys that were on their way to it are overwritten.
 */
class Thread<C extends object, R extends object> {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #wakeFd: number;
  readonly #cpu = new Float64Array(new SharedArrayBuffer(8));
  readonly #exited: Promise<void>;
  readonly #owners: SharedArrayBuffer;
  readonly #number: number;
  readonly #onReport: (report: R) => void;
  /** Keys that it was given and may not have wiped yet. */
  readonly #lent = new Set<SharedArrayBuffer>();
  #stopping = false;
  #gone = false;
  #failure: unknown;

  /** @param number its own in `owners`, from 1 */
  constructor(
    file: URL,
    number: number,
    owners: SharedArrayBuffer,
    onReport: (report: R) => void,
    onDeath: (error: TransportError) => void,
  ) {
    const { port1, port2 } = new MessageChannel();
    const ledger = newLedger();
    this.#port = port1;
    this.#number = number;
    this.#owners = owners;
    this.#onReport = onReport;
    this.#wakeFd = libc.eventfd(0, 0o2004000);
    if (this.#wakeFd < 0) throw new TransportError('local', 'eventfd failed');
    port1.on('message', (report: R) => this.#hear(report));
    const boot: WorkerBoot = { port: port2, wakeFd: this.#wakeFd, cpu: this.#cpu.buffer, ledger, owners, thread: number };
    this.#worker = new Worker(file, { workerData: boot, transferList: [port2] });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#gone = true;
        // What it has said before its end still counts: a descriptor may be in it.
        for (let last = receiveMessageOnPort(port1); last; last = receiveMessageOnPort(port1)) this.#hear(last.message as R); // it sends R only
        port1.close();
        libc.close(this.#wakeFd);
        reclaim(ledger, owners, number);
        for (const keys of this.#lent) new Uint8Array(keys).fill(0);
        this.#lent.clear();
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

  /**
   * A descriptor or a key in the command is the thread's from here on.
   *
   * @returns false where the thread has ended: what the command carried is closed and wiped, and nothing is written to the thread's eventfd, whose
   *   number may be somebody else's by now
   */
  post(command: C | typeof stopMessage): boolean {
    const { descriptors, keys } = command === stopMessage ? nothing : carriedBy(command);
    if (this.#gone) {
      for (const fd of descriptors) libc.close(fd);
      for (const each of keys) new Uint8Array(each).fill(0);
      return false;
    }
    for (const fd of descriptors) assign(this.#owners, fd, this.#number);
    for (const each of this.#lent) if (new Uint8Array(each).every((byte) => byte === 0)) this.#lent.delete(each);
    for (const each of keys) this.#lent.add(each);
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

  #hear(report: R): void {
    for (const fd of carriedBy(report).descriptors) assign(this.#owners, fd, mainThread);
    this.#onReport(report);
  }
}

interface Carried {
  readonly descriptors: readonly number[];
  readonly keys: readonly SharedArrayBuffer[];
}

const nothing: Carried = { descriptors: [], keys: [] };

/** Of any message, by the names of its fields (worker/messages.ts). */
function carriedBy(message: object): Carried {
  const fields = message as { wire?: unknown; local?: unknown; secrets?: unknown; keys?: unknown }; // looked at, whatever they are
  return {
    descriptors: [fields.wire, fields.local].filter((each) => typeof each === 'number'),
    keys: [fields.secrets, fields.keys].filter((each) => each instanceof SharedArrayBuffer),
  };
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
    const owners = newOwners();
    this.gate = new Thread(new URL('./worker/gate-thread.ts', import.meta.url), 1, owners, handlers.gate, handlers.death);
    this.pumps = Array.from(
      { length: count },
      (_, i) =>
        new Thread<PumpCommand, PumpReport>(
          new URL('./worker/pump-thread.ts', import.meta.url),
          2 + i,
          owners,
          handlers.pump,
          handlers.death,
        ),
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
