/**
 * The life of a worker thread: it sleeps in poll(2) on its sockets and on an eventfd by which the main thread wakes it, and never returns
 * to Node's own event loop until it is told to stop. Messages are taken from its port in between.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { adoptOwners } from '../native/descriptors.ts';
import { adoptLedger } from '../native/holdings.ts';
import { CLOCK_THREAD_CPUTIME_ID, libc, POLL } from '../native/libc.ts';
import { allocate, freeMemory, type Memory } from '../native/memory.ts';
import { tunables } from '../tunables.ts';

/** Something that waits for readiness of a file descriptor. */
export interface Target {
  /** @param events poll(2)'s revents */
  ready(fd: number, events: number): void;
}

/** What poll(2) is to wait for; filled anew before each sleep. */
export class Poller {
  #memory: Memory = allocate(8 * 64);
  #words = new Int32Array(this.#memory.bytes.buffer);
  #halves = new Int16Array(this.#memory.bytes.buffer);
  readonly #targets: Target[] = [];
  #count = 0;

  clear(): void {
    this.#count = 0;
  }

  add(fd: number, events: number, target: Target): void {
    if (events === 0) return;
    if (this.#count * 8 === this.#memory.bytes.length) this.#grow();
    this.#words[this.#count * 2] = fd;
    this.#halves[this.#count * 4 + 2] = events;
    this.#halves[this.#count * 4 + 3] = 0;
    this.#targets[this.#count] = target;
    this.#count++;
  }

  wait(timeoutMs: number): void {
    // EINTR and the like need no answer: the caller goes round again.
    if (libc.poll(this.#memory.address, this.#count, timeoutMs) <= 0) return;
    for (let i = 0; i < this.#count; i++) {
      const events = this.#halves[i * 4 + 3] ?? 0;
      if (events !== 0) this.#targets[i]?.ready(this.#words[i * 2] ?? -1, events);
    }
  }

  #grow(): void {
    const larger = allocate(this.#memory.bytes.length * 2);
    larger.bytes.set(this.#memory.bytes);
    const old = this.#memory;
    this.#memory = larger;
    this.#words = new Int32Array(larger.bytes.buffer);
    this.#halves = new Int16Array(larger.bytes.buffer);
    freeMemory(old);
  }
}

/** What a worker does; {@link run} drives it. `M` is what the main thread sends. */
export interface Service<M> {
  message(message: M): void;
  /** Moves what can be moved without waiting. @returns whether anything moved, so that another turn may */
  step(): boolean;
  /** Adds what it waits for. */
  watch(poller: Poller): void;
  /** At least every {@link tunables.pollMs}. @param now milliseconds, monotonic */
  tick(now: number): void;
  /** Before the thread ends: closes and wipes all that it holds. */
  stop(): void;
}

/** What a worker is started with. */
export interface WorkerBoot {
  readonly port: MessagePort;
  readonly wakeFd: number;
  /** One double: the thread's CPU seconds so far. */
  readonly cpu: SharedArrayBuffer;
  /** Where it writes down what the main thread has to reclaim if it dies. */
  readonly ledger: SharedArrayBuffer;
  readonly owners: SharedArrayBuffer;
  /** Its number in {@link WorkerBoot.owners}. */
  readonly thread: number;
}

/** What a worker thread does before anything else. */
export function begin(boot: WorkerBoot): void {
  adoptLedger(boot.ledger);
  adoptOwners(boot.owners, boot.thread);
}

export const stopMessage = 'stop';

/** @returns when the main thread has sent {@link stopMessage} */
export function run<M>(boot: WorkerBoot, service: Service<M>): void {
  const poller = new Poller();
  const scratch = allocate(64);
  const time = new DataView(scratch.bytes.buffer);
  const cpu = new Float64Array(boot.cpu);
  let woken = true;
  let ticked = 0;
  const wake: Target = {
    ready: (fd) => {
      libc.read(fd, scratch.address, 8);
      woken = true;
    },
  };
  const sampleCpu = () => {
    libc.clock_gettime(CLOCK_THREAD_CPUTIME_ID, scratch.address + 16);
    cpu[0] = Number(time.getBigInt64(16, true)) + Number(time.getBigInt64(24, true)) / 1e9;
  };

  for (;;) {
    if (woken) {
      woken = false;
      for (let next = receiveMessageOnPort(boot.port); next; next = receiveMessageOnPort(boot.port)) {
        if (next.message === stopMessage) {
          service.stop();
          sampleCpu();
          boot.port.close();
          return;
        }
        service.message(next.message as M); // only the pool sends here, and it sends M
      }
    }
    const now = performance.now();
    if (now - ticked >= tunables.pollMs / 2) {
      ticked = now;
      service.tick(now);
      sampleCpu();
    }
    const busy = service.step();
    poller.clear();
    poller.add(boot.wakeFd, POLL.IN, wake);
    service.watch(poller);
    poller.wait(busy ? 0 : tunables.pollMs);
  }
}
