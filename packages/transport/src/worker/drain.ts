/**
 * The local socket of a source whose channel has failed: it is read and what it says thrown away, until the session is dropped. QEMU 7.2 can
 * hang for good when several of its multifd sockets break under it, so they stay whole until its migration has been cancelled.
 */
import { E, errno, libc, POLL } from '../native/libc.ts';
import type { Memory } from '../native/memory.ts';
import { giveBack, lend } from './buffers.ts';
import type { Poller, Target } from './loop.ts';

export class Drain implements Target {
  readonly session: number;
  readonly #fd: number;
  readonly #memory: Memory = lend();
  #readable = true;
  #ended = false;

  /** @param fd the local socket: taken, which means that this closes it */
  constructor(session: number, fd: number) {
    this.session = session;
    this.#fd = fd;
  }

  /** @returns whether there may be more */
  step(): boolean {
    if (this.#ended || !this.#readable) return false;
    const count = libc.read(this.#fd, this.#memory.address, this.#memory.bytes.length);
    if (count > 0) return true;
    const code = count === 0 ? 0 : errno();
    if (code === E.AGAIN) this.#readable = false;
    else if (code !== E.INTR) this.#ended = true;
    return code === E.INTR;
  }

  watch(poller: Poller): void {
    if (!this.#ended && !this.#readable) poller.add(this.#fd, POLL.IN, this);
  }

  ready(): void {
    this.#readable = true;
  }

  free(): void {
    giveBack(this.#memory);
    libc.close(this.#fd);
  }
}
