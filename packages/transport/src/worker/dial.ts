/** The source's side of opening one channel: connect, hello, and again from the start until it is confirmed or the time is up. */
import { m2Bytes } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { type Finished, SourceHello } from '../hello/hello.ts';
import type { HelloKeys } from '../keys/schedule.ts';
import { libc, POLL } from '../native/libc.ts';
import { nameOf } from '../native/memory.ts';
import { connectError, formatAddress, startConnect, tuneTcp } from '../native/sockets.ts';
import { tunables } from '../tunables.ts';
import { Exchange } from './exchange.ts';
import type { Poller, Target } from './loop.ts';
import type { Address } from './messages.ts';

export interface DialTarget {
  readonly session: number;
  readonly version: number;
  readonly migration: string;
  readonly attempt: number;
  readonly channel: number;
  readonly context: Uint8Array;
  readonly keys: HelloKeys;
  readonly address: Address;
  /** Monotonic milliseconds. */
  readonly deadline: number;
}

export class Dial {
  readonly target: DialTarget;
  #state: 'idle' | 'connecting' | 'hello' | 'done' = 'idle';
  #exchange: Exchange | undefined;
  #hello: SourceHello | undefined;
  #notBefore = 0;
  #tryUntil = 0;
  /** Why the last try ended, in words. */
  problem = 'no answer';

  constructor(target: DialTarget) {
    this.target = target;
  }

  get fd(): number {
    return this.#exchange?.fd ?? -1;
  }

  watch(poller: Poller, target: Target): void {
    if (!this.#exchange) return;
    poller.add(this.#exchange.fd, this.#state === 'connecting' || this.#exchange.sending ? POLL.OUT : POLL.IN, target);
  }

  /** @returns false once the time is up */
  tick(now: number): boolean {
    if (this.#state === 'done') return true;
    if (now > this.target.deadline) return false;
    if (this.#state !== 'idle' && now > this.#tryUntil) this.#again('no answer in time');
    if (this.#state === 'idle' && now >= this.#notBefore) this.#begin(now);
    return true;
  }

  /** @returns what a confirmed channel consists of; the descriptor and the secrets are then the caller's */
  ready(): { wire: number; secrets: Finished } | undefined {
    try {
      return this.#exchange && this.#advance(this.#exchange);
    } catch (error) {
      // Whatever this host could not do for this connection, the next may do better, and the other channels go on.
      if (!(error instanceof TransportError)) throw error;
      this.#again(error.message);
      return undefined;
    }
  }

  /** Closes and wipes. Idempotent. */
  free(): void {
    this.#hello?.free();
    this.#hello = undefined;
    if (this.#exchange) libc.close(this.#exchange.fd);
    this.#exchange = undefined;
    this.#state = 'done';
  }

  #advance(exchange: Exchange): { wire: number; secrets: Finished } | undefined {
    if (this.#state === 'connecting') {
      const code = connectError(exchange.fd);
      if (code !== 0) {
        this.#again(nameOf(code));
        return undefined;
      }
      tuneTcp(exchange.fd);
      this.#hello = new SourceHello(this.target, this.target.keys, this.target.context);
      this.#state = 'hello';
      exchange.send(this.#hello.begin());
      exchange.expect(m2Bytes);
    }
    if (!exchange.flush()) this.#again('the connection broke during the hello');
    else if (!exchange.sending) return this.#receive(exchange);
    return undefined;
  }

  #receive(exchange: Exchange): { wire: number; secrets: Finished } | undefined {
    const flight = exchange.receive();
    if (flight === 'ended') this.#again('the destination closed the connection during the hello');
    if (!Buffer.isBuffer(flight)) return undefined;
    const finished = this.#hello?.finish(flight);
    if (!finished) {
      this.#again('whoever answered does not have the key of this migration');
      return undefined;
    }
    exchange.send(finished.confirm);
    // CONFIRM is a few bytes on a fresh connection: where they do not fit at once, the connection is of no use.
    if (!exchange.flush() || exchange.sending) {
      finished.secrets.sourceToDestination.fill(0);
      finished.secrets.destinationToSource.fill(0);
      this.#again('CONFIRM could not be sent');
      return undefined;
    }
    this.#exchange = undefined;
    this.free();
    return { wire: exchange.fd, secrets: finished.secrets };
  }

  #begin(now: number): void {
    this.#tryUntil = now + tunables.helloMs;
    try {
      this.#exchange = new Exchange(startConnect(this.target.address));
      this.#state = 'connecting';
    } catch (error) {
      this.#again(error instanceof Error ? error.message : String(error));
    }
  }

  #again(problem: string): void {
    this.free();
    this.problem = `${formatAddress(this.target.address)}: ${problem}`;
    this.#state = 'idle';
    this.#notBefore = performance.now() + tunables.retryMs;
  }
}
