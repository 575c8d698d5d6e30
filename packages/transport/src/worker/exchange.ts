/** Sends and receives a hello's flights of fixed length on a non-blocking socket, never a byte more than is expected. */
import { E, errno, libc, MSG_NOSIGNAL } from '../native/libc.ts';
import { allocate, type Memory } from '../native/memory.ts';

let scratchOfThread: Memory | undefined;
const scratch = (): Memory => {
  scratchOfThread ??= allocate(256);
  return scratchOfThread;
};

export class Exchange {
  readonly fd: number;
  #out: Buffer = Buffer.alloc(0);
  #expected = 0;
  #got: Buffer[] = [];
  #gotBytes = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Something is to be sent still. */
  get sending(): boolean {
    return this.#out.length > 0;
  }

  send(bytes: Buffer): void {
    this.#out = Buffer.concat([this.#out, bytes]);
  }

  /** @param bytes at most 256 */
  expect(bytes: number): void {
    this.#expected = bytes;
    this.#got = [];
    this.#gotBytes = 0;
  }

  /** @returns false where the connection has failed */
  flush(): boolean {
    while (this.sending) {
      const { address, bytes } = scratch();
      bytes.set(this.#out);
      const count = libc.send(this.fd, address, this.#out.length, MSG_NOSIGNAL);
      if (count < 0) return errno() === E.AGAIN || errno() === E.INTR;
      this.#out = this.#out.subarray(count);
    }
    return true;
  }

  /** @returns the expected flight, `undefined` while it is incomplete, or 'ended' */
  receive(): Buffer | undefined | 'ended' {
    const { address, bytes } = scratch();
    const missing = this.#expected - this.#gotBytes;
    const count = libc.recv(this.fd, address, missing, 0);
    if (count === 0) return 'ended';
    if (count < 0) return errno() === E.AGAIN || errno() === E.INTR ? undefined : 'ended';
    this.#got.push(Buffer.from(bytes.subarray(0, count)));
    this.#gotBytes += count;
    return this.#gotBytes === this.#expected ? Buffer.concat(this.#got) : undefined;
  }
}
