/** A TCP connection on loopback in a test's hands, and the loop that drives what it talks to in the test's own thread. */
import { libc } from '../native/libc.ts';
import { startConnect } from '../native/sockets.ts';
import { Poller, type Target } from '../worker/loop.ts';
import type { Address } from '../worker/messages.ts';
import { readFrom, writeTo } from './wires.ts';

interface Watched {
  watch(poller: Poller, target: Target): void;
}

/** Far more than is ever needed, each at most 10 ms: a test that waits for what does not come fails by this, not by a timer. */
const maxRounds = 1000;

/**
 * Polls and serves until the condition holds.
 *
 * @throws where it never does
 */
export function drive(what: string, services: readonly (Watched & { ready(fd: number): unknown })[], condition: () => boolean): void {
  const poller = new Poller();
  for (let round = 0; !condition(); round++) {
    if (round === maxRounds) throw new Error(`never: ${what}`);
    poller.clear();
    for (const service of services) service.watch(poller, { ready: (fd) => void service.ready(fd) });
    poller.wait(10);
  }
}

export class Caller implements Disposable {
  readonly fd: number;
  /** What has come so far. */
  received = Buffer.alloc(0);
  ended = false;

  constructor(address: Address) {
    this.fd = startConnect(address);
  }

  /** @returns whether all of it could be sent */
  send(bytes: Uint8Array): boolean {
    return writeTo(this.fd, bytes) === bytes.length;
  }

  /** Looks for what has come. */
  look(): this {
    const part = readFrom(this.fd);
    if (part === 'ended') this.ended = true;
    else this.received = Buffer.concat([this.received, part]);
    return this;
  }

  [Symbol.dispose](): void {
    libc.close(this.fd);
  }
}
