/** The two ends of a session as processes on two hosts of a {@link Wire}, in the hands of a test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Attempt } from '../../packages/transport/src/keys/context.ts';
import { testAttempt } from '../../packages/transport/src/testing/pair.ts';
import type { Address } from '../../packages/transport/src/worker/messages.ts';
import { type Host, Wire } from './wire.ts';

export type Order =
  | { readonly kind: 'accept'; readonly attempt: Attempt; readonly key: Uint8Array; readonly hosts: readonly string[] }
  | { readonly kind: 'connect'; readonly attempt: Attempt; readonly key: Uint8Array; readonly addresses: readonly Address[] }
  /** The local programs read nothing, and again. */
  | { readonly kind: 'hold' }
  | { readonly kind: 'go on' }
  /** The local programs have nothing more to write. */
  | { readonly kind: 'finish' }
  | { readonly kind: 'count' }
  /** Aborts the session, closes everything, and ends the process. */
  | { readonly kind: 'leave' };

export type Report =
  | { readonly kind: 'listening'; readonly addresses: readonly Address[] }
  | { readonly kind: 'confirmed' }
  | { readonly kind: 'control'; readonly type: string }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'ended' }
  | { readonly kind: 'counted'; readonly bytes: number; readonly wrong: boolean; readonly rtt: number }
  | { readonly kind: 'left'; readonly sockets: number; readonly key: string };

type Of<K> = Extract<Report, { kind: K }>;

/** What takes longer than this hangs. All limits of the transport are below 20 s. */
const hangMs = 100_000;

const program = fileURLToPath(new URL('./end.ts', import.meta.url));

export class End implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly heard: Report[] = [];
  readonly #gone: Promise<unknown>;
  readonly #waiting: (() => void)[] = [];
  #ended = false;

  constructor(namespace: string) {
    // ip becomes node itself by exec, so that signals and the channel reach it.
    const command = ['netns', 'exec', namespace, process.execPath, '--disable-warning=ExperimentalWarning', program];
    this.child = spawn('ip', command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' });
    this.child.on('message', (report: Report) => {
      this.heard.push(report);
      this.#wake();
    });
    this.#gone = once(this.child, 'exit').then(() => {
      this.#ended = true;
      this.#wake();
    });
  }

  do(order: Order): void {
    this.child.send(order);
  }

  /** @returns the first report that fits, said already or still to come. @throws when the process ends without, or says nothing like it */
  async says<K extends Report['kind']>(kind: K, fits: (report: Of<K>) => boolean = () => true, from = 0): Promise<Of<K>> {
    const until = performance.now() + hangMs;
    for (;;) {
      const found = this.heard.slice(from).find((report): report is Of<K> => report.kind === kind && fits(report as Of<K>)); // of its kind
      if (found) return found;
      if (this.#ended) throw new Error(`it ended without ${kind}: ${JSON.stringify(this.heard)}`);
      if (performance.now() > until) throw new Error(`it hangs without ${kind}: ${JSON.stringify(this.heard)}`);
      await this.#news();
    }
  }

  get failed(): boolean {
    return this.heard.some(({ kind }) => kind === 'failed');
  }

  /** How much its streams have carried by now. */
  count(): Promise<Of<'counted'>> {
    const from = this.heard.length;
    this.do({ kind: 'count' });
    return this.says('counted', undefined, from);
  }

  /** Resolves once its streams have carried so many bytes more. */
  async carries(more: number): Promise<void> {
    const until = performance.now() + hangMs;
    const { bytes } = await this.count();
    for (let now = bytes; now < bytes + more; { bytes: now } = await this.count()) {
      if (performance.now() > until) throw new Error(`it hangs after ${now} bytes: ${JSON.stringify(this.heard)}`);
      await sleep(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.child.kill('SIGKILL');
    await this.#gone;
  }

  /** Resolves at the next report, or once in a while. */
  async #news(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    const timer = setTimeout(resolve, 5_000);
    await promise;
    clearTimeout(timer);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

export class Ends implements AsyncDisposable {
  readonly wire: Wire;
  readonly source: End;
  readonly destination: End;

  private constructor(wire: Wire) {
    this.wire = wire;
    this.source = new End(wire.namespace('source'));
    this.destination = new End(wire.namespace('destination'));
  }

  /** @returns when a session of two channels is carrying data. @param networks channel 1 is on the last of them, channel 0 on the first */
  static async carrying(networks = 1): Promise<Ends> {
    const ends = new Ends(await Wire.make(networks));
    try {
      await ends.#begin();
    } catch (error) {
      await ends[Symbol.asyncDispose]();
      throw error;
    }
    return ends;
  }

  end(host: Host): End {
    return host === 'source' ? this.source : this.destination;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.source[Symbol.asyncDispose](), this.destination[Symbol.asyncDispose]()]);
    await this.wire[Symbol.asyncDispose]();
  }

  async #begin(): Promise<void> {
    const { wire, source, destination } = this;
    const attempt = testAttempt({ channels: 2 });
    const key = randomBytes(32);
    const hosts = Array.from({ length: wire.networks }, (_, network) => wire.address('destination', network));
    destination.do({ kind: 'accept', attempt, key, hosts });
    const { addresses } = await destination.says('listening');
    source.do({ kind: 'connect', attempt, key, addresses });
    await Promise.all([source.says('confirmed'), destination.says('confirmed')]);
    await destination.carries(1024 * 1024);
  }
}
