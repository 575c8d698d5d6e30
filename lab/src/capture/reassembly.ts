/**
 * Puts one direction of a TCP connection together again: segments in any order, repeated and overlapping, in; the stream's bytes out, each
 * once and in order. Of bytes that came twice, those that came first are taken.
 */

/** Gets the stream's bytes in order. The memory is used again after it returns. */
export type Sink = (bytes: Buffer) => void;

interface Pending {
  readonly start: number;
  readonly bytes: Buffer;
}

export class StreamReassembly {
  readonly #sink: Sink;
  readonly #pendingLimit: number;
  /** Stream offset, counted without wrapping from the first byte. 2^53 bytes are more than any capture holds. */
  #next = 0;
  /** The sequence number of the byte at offset 0; unknown until the first segment. */
  #base: number | undefined;
  /** What came too early, ordered by its start; parts may overlap. */
  readonly #pending: Pending[] = [];
  #pendingBytes = 0;

  /** Bytes handed to the sink. */
  bytes = 0;
  /** Bytes that came again. */
  repeatedBytes = 0;
  /** Bytes that never came, though later ones did. */
  missingBytes = 0;

  /** @param pendingLimit how many bytes may wait for an earlier one until that is taken for missing */
  constructor(sink: Sink, pendingLimit = 64 * 1024 * 1024) {
    this.#sink = sink;
    this.#pendingLimit = pendingLimit;
  }

  /**
   * @param sequence of the segment, RFC 9293 §3.4: modulo 2^32
   * @param syn takes a sequence number of its own, before the payload's
   */
  push(sequence: number, payload: Buffer, syn = false): void {
    const first = syn ? (sequence + 1) >>> 0 : sequence;
    this.#base ??= first;
    if (payload.length === 0) return;
    // The distance from the expected number, as a signed 32-bit number, is right for all that is within 2 GiB of it.
    const expected = (this.#base + this.#next) >>> 0;
    const start = this.#next + ((first - expected) | 0);
    if (start > this.#next) {
      this.#keep(start, payload);
      while (this.#pendingBytes > this.#pendingLimit) this.#skipGap();
      return;
    }
    this.#deliver(start, payload);
    this.#deliverPending();
  }

  /** Whether a SYN of this sequence number is another connection's: one that came again has the number of the first. */
  isRestartedBy(sequence: number): boolean {
    return this.#base !== undefined && this.#base !== (sequence + 1) >>> 0;
  }

  /** No more segments come: what waits is delivered, and what it waited for is missing. */
  end(): void {
    while (this.#pending.length > 0) this.#skipGap();
  }

  #deliver(start: number, payload: Buffer): void {
    const known = Math.min(this.#next - start, payload.length);
    this.repeatedBytes += known;
    if (known === payload.length) return;
    const fresh = known === 0 ? payload : payload.subarray(known);
    this.#next += fresh.length;
    this.bytes += fresh.length;
    this.#sink(fresh);
  }

  #keep(start: number, payload: Buffer): void {
    // Most come in order among themselves, so the place is near the end.
    let place = this.#pending.length;
    while (place > 0 && (this.#pending[place - 1] as Pending).start > start) place--; // 0 < place <= length
    this.#pending.splice(place, 0, { start, bytes: Buffer.from(payload) });
    this.#pendingBytes += payload.length;
  }

  #deliverPending(): void {
    let count = 0;
    for (const { start, bytes } of this.#pending) {
      if (start > this.#next) break;
      this.#deliver(start, bytes);
      this.#pendingBytes -= bytes.length;
      count++;
    }
    if (count > 0) this.#pending.splice(0, count);
  }

  #skipGap(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    this.missingBytes += first.start - this.#next;
    this.#next = first.start;
    this.#deliverPending();
  }
}
