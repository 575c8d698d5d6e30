/** One Inbound between two unix sockets: the test is the peer on the wire and QEMU at the local end. */
import { randomBytes } from 'node:crypto';
import type { Suite } from '../constants.ts';
import { Epochs } from '../keys/epochs.ts';
import { libc } from '../native/libc.ts';
import { Inbound } from '../worker/inbound.ts';
import { Statistics } from '../worker/statistics.ts';
import { MiniDirection } from './mini.ts';
import { borrowPair, drain, returnPair, writeTo } from './wires.ts';

export interface InboundOptions {
  readonly channel?: number;
  readonly channels?: number;
  readonly suite?: Suite;
  readonly epochBits?: number;
  readonly start?: number;
  /** Whether the local socket is there from the start. */
  readonly attached?: boolean;
}

export class InboundBench implements Disposable {
  readonly inbound: Inbound;
  /** What a true peer sends. */
  readonly peer: MiniDirection;
  readonly channel: number;
  readonly control: { type: number; payload: Buffer }[] = [];
  readonly #wires: [number, number];
  readonly #locals: [number, number];
  #ended = false;
  #farClosed = false;
  /** Everything that has reached the local socket and was read from it. */
  written = Buffer.alloc(0);
  /** Whether the test reads the local socket; where not, its buffer fills up. */
  reading = true;
  /** What the test's own calls into libc are made within. */
  around = <T>(act: () => T): T => act();

  constructor(options: InboundOptions = {}) {
    const { channel = 1, channels = 4, suite = 'aes-256-gcm', epochBits = 16, start = 0, attached = true } = options;
    const secret = randomBytes(32);
    this.#wires = borrowPair();
    this.#locals = borrowPair();
    this.channel = channel;
    this.peer = new MiniDirection(secret, { start, suite, epochBits });
    const epochs = new Epochs(Buffer.from(secret), 'open', start, epochBits);
    const statistics = new Statistics(channels);
    this.inbound = new Inbound(channel, channels, this.#wires[0], epochs, suite, statistics, (type, payload) =>
      this.control.push({ type, payload }),
    );
    if (attached) this.attach();
  }

  attach(): void {
    this.inbound.attach(this.#locals[0]);
  }

  /**
   * Puts the bytes on the wire, in pieces of at most `size`, and lets the Inbound work, as long as it takes any.
   *
   * @returns how many it took
   * @throws what it throws
   */
  feed(bytes: Uint8Array, size = 65536): number {
    let at = 0;
    while (at < bytes.length) {
      const taken = this.around(() => writeTo(this.#wires[1], bytes.subarray(at, Math.min(bytes.length, at + size))));
      at += taken;
      if (!this.work() && taken === 0) break;
    }
    return at;
  }

  /** @returns whether anything moved */
  work(): boolean {
    let moved = false;
    try {
      for (;;) {
        this.inbound.wireReadable = true;
        this.inbound.localWritable = true;
        const stepped = this.inbound.step();
        const read = this.#read();
        if (!stepped && !read) return moved;
        moved = true;
      }
    } finally {
      this.#read();
    }
  }

  /** The peer's connection ends. */
  end(): void {
    this.#ended = true;
    libc.close(this.#wires[1]);
    this.work();
  }

  /** QEMU goes away. */
  closeFar(): void {
    this.#farClosed = true;
    libc.close(this.#locals[1]);
  }

  get far(): number {
    return this.#locals[1];
  }

  data(payload: Uint8Array): Buffer {
    return this.peer.seal(0x02, this.channel, payload);
  }

  [Symbol.dispose](): void {
    const shutDown = this.inbound.delivered;
    this.inbound.free();
    if (this.#ended) libc.close(this.#wires[0]);
    else returnPair(this.#wires);
    if (!this.#farClosed && !shutDown) returnPair(this.#locals);
    else for (const fd of this.#farClosed ? this.#locals.slice(0, 1) : this.#locals) libc.close(fd);
  }

  #read(): boolean {
    if (!this.reading || this.#farClosed) return false;
    const part = this.around(() => drain(this.far));
    this.written = Buffer.concat([this.written, part]);
    return part.length > 0;
  }
}
