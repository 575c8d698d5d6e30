/**
 * What is on its way: memory for packets, given out and taken back in nearly the order of a ring, and the order in which they arrive. Typed
 * arrays, nothing allocated per packet.
 */

/** A ring of bytes: room is reserved at its head, kept in part, and free again when everything before it is free too. */
export class Ring {
  readonly #bytes: number;
  /** Of each block, by its number, which only grows: where it ends, and whether it is free. */
  #ends = new Float64Array(1024);
  #freed = new Uint8Array(1024);
  #firstBlock = 0;
  #nextBlock = 0;
  /** Places in an endless ring, of which the memory is a window. */
  #tail = 0;
  #head = 0;
  #reserved = 0;
  #limit: number;

  /** @param bytes of memory; a multiple of 64 */
  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#limit = bytes;
  }

  /** Uses only so much of the memory from the next turn on, so that a short line stays in the processor's caches. */
  limit(bytes: number): void {
    this.#limit = Math.min(this.#bytes, Math.ceil(bytes / 64) * 64);
  }

  /** @returns where there is contiguous room for `bytes`, at an offset into the memory; -1 where there is none */
  reserve(bytes: number): number {
    if (this.#firstBlock === this.#nextBlock) {
      // Empty: the same memory again, which is in the caches.
      this.#head = 0;
      this.#tail = 0;
    }
    let at = this.#head % this.#bytes;
    let head = this.#head;
    if (at + bytes > Math.max(this.#limit, bytes)) {
      head += this.#bytes - at;
      at = 0;
    }
    if (at + bytes > this.#bytes || head + bytes - this.#tail > this.#bytes) return -1;
    this.#reserved = head;
    return at;
  }

  /** Keeps `bytes` of what was reserved last. @returns the block, for {@link free} */
  keep(bytes: number): number {
    this.#head = this.#reserved + Math.ceil(bytes / 64) * 64;
    if (this.#nextBlock - this.#firstBlock === this.#ends.length) this.#grow();
    const mask = this.#ends.length - 1;
    this.#ends[this.#nextBlock & mask] = this.#head;
    this.#freed[this.#nextBlock & mask] = 0;
    return this.#nextBlock++;
  }

  free(block: number): void {
    const mask = this.#ends.length - 1;
    this.#freed[block & mask] = 1;
    while (this.#firstBlock < this.#nextBlock && this.#freed[this.#firstBlock & mask] === 1) {
      this.#tail = this.#ends[this.#firstBlock & mask] ?? this.#tail;
      this.#firstBlock++;
    }
  }

  #grow(): void {
    const [ends, freed, mask] = [this.#ends, this.#freed, this.#ends.length - 1];
    this.#ends = new Float64Array(2 * ends.length);
    this.#freed = new Uint8Array(2 * ends.length);
    for (let block = this.#firstBlock; block < this.#nextBlock; block++) {
      this.#ends[block & (2 * mask + 1)] = ends[block & mask] ?? 0;
      this.#freed[block & (2 * mask + 1)] = freed[block & mask] ?? 0;
    }
  }
}

/** Packets in the order in which they arrive, which is that in which they were put. */
export class Arrivals {
  #due = new Float64Array(1024);
  #at = new Float64Array(1024);
  #bytes = new Uint32Array(1024);
  #block = new Float64Array(1024);
  #first = 0;
  #next = 0;

  /** When the next one arrives; infinity where none is on its way. */
  get due(): number {
    return this.#first === this.#next ? Number.POSITIVE_INFINITY : (this.#due[this.#first & (this.#due.length - 1)] ?? 0);
  }

  put(due: number, at: number, bytes: number, block: number): void {
    if (this.#next - this.#first === this.#due.length) this.#grow();
    const slot = this.#next++ & (this.#due.length - 1);
    this.#due[slot] = due;
    this.#at[slot] = at;
    this.#bytes[slot] = bytes;
    this.#block[slot] = block;
  }

  /** Hands the next one, which must be there, to `take`. */
  take(take: (at: number, bytes: number, block: number) => void): void {
    const slot = this.#first++ & (this.#due.length - 1);
    take(this.#at[slot] ?? 0, this.#bytes[slot] ?? 0, this.#block[slot] ?? 0);
  }

  #grow(): void {
    const length = this.#due.length;
    const turn = <T extends Float64Array | Uint32Array>(from: T, to: T): T => {
      for (let index = this.#first; index < this.#next; index++) to[index & (2 * length - 1)] = from[index & (length - 1)] ?? 0;
      return to;
    };
    this.#due = turn(this.#due, new Float64Array(2 * length));
    this.#at = turn(this.#at, new Float64Array(2 * length));
    this.#bytes = turn(this.#bytes, new Uint32Array(2 * length));
    this.#block = turn(this.#block, new Float64Array(2 * length));
  }
}
