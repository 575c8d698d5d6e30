/**
 * The destination's local connections: which channel is connected when. docs/protocol.md "Local streams" and "Channels on demand".
 *
 * Where channels are fixed, the main one comes first and the others follow as they are ready. On demand each waits for all before it, so that
 * the n-th connection here is the n-th there.
 */
import { firstDataChannel } from './constants.ts';
import { TransportError } from './errors.ts';
import { connectUnix } from './native/sockets.ts';

export interface ArrivalHandlers {
  /** @param local the connected socket, now the handler's */
  attach(channel: number, local: number): void;
  failed(error: TransportError): void;
}

export class Arrivals {
  readonly #inOrder: boolean;
  readonly #firstOwn: number;
  readonly #handlers: ArrivalHandlers;
  readonly #waiting = new Set<number>();
  /** Connected, or never going to be. */
  readonly #done = new Set<number>();
  #path: string | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;
  /** By channel. */
  readonly #own = new Map<number, string>();

  /**
   * @param inOrder strictly by number
   * @param firstOwn from here on, each channel is connected to a place of its own, and waits for no other
   */
  constructor(inOrder: boolean, firstOwn: number, handlers: ArrivalHandlers) {
    this.#inOrder = inOrder;
    this.#firstOwn = firstOwn;
    this.#handlers = handlers;
  }

  /** Where to connect to; until it is known, channels wait. */
  open(path: string): void {
    this.#path = path;
    this.#connect();
  }

  /** Where one channel from `firstOwn` on is to be connected to. */
  openOwn(channel: number, path: string): void {
    this.#own.set(channel, path);
    this.#connect();
  }

  /** The channel is ready to be connected. Idempotent. */
  add(channel: number): void {
    if (this.#done.has(channel)) return;
    this.#waiting.add(channel);
    this.#connect();
  }

  /** The channel ended without ever needing a connection: those behind it need not wait. */
  skip(channel: number): void {
    this.#waiting.delete(channel);
    this.#done.add(channel);
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
  }

  #connect(): void {
    clearTimeout(this.#retry);
    if (this.#stopped) return;
    for (const channel of [...this.#waiting].sort((a, b) => a - b)) {
      const path = channel < this.#firstOwn ? this.#path : this.#own.get(channel);
      if (path === undefined || !this.#isNext(channel)) continue;
      let local: number | undefined;
      try {
        local = connectUnix(path);
      } catch (error) {
        this.#handlers.failed(error instanceof TransportError ? error : new TransportError('local', String(error)));
        return;
      }
      if (local === undefined) {
        // QEMU accepts one at a time.
        this.#retry = setTimeout(() => this.#connect(), 2);
        continue;
      }
      this.#waiting.delete(channel);
      this.#done.add(channel);
      this.#handlers.attach(channel, local);
    }
  }

  #isNext(channel: number): boolean {
    if (channel >= this.#firstOwn) return true;
    if (!this.#inOrder) return channel === firstDataChannel || this.#done.has(firstDataChannel);
    for (let before = firstDataChannel; before < channel; before++) if (!this.#done.has(before)) return false;
    return true;
  }
}
