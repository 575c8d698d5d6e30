/** Cuts a byte stream into headers of one length and what follows each, in whatever pieces it comes. Payloads are handed on as they are, uncopied. */

export type Piece =
  /** The buffer is overwritten by the next one. */
  | { readonly kind: 'header'; readonly header: Buffer }
  /** `done`: the last of its payload. */
  | { readonly kind: 'payload'; readonly bytes: Buffer; readonly done: boolean };

export class Framer {
  readonly #header: Buffer;
  #filled = 0;
  #payload = 0;

  constructor(headerBytes: number) {
    this.#header = Buffer.alloc(headerBytes);
  }

  /** Said of a header before the next piece is taken: how many bytes follow it. */
  expect(bytes: number): void {
    this.#payload = bytes;
  }

  /** Nothing of a header or payload is missing. */
  get isBetween(): boolean {
    return this.#filled === 0 && this.#payload === 0;
  }

  *pieces(chunk: Buffer): Generator<Piece, void, undefined> {
    for (let at = 0; at < chunk.length; ) {
      if (this.#payload > 0) {
        const bytes = chunk.subarray(at, at + this.#payload);
        at += bytes.length;
        this.#payload -= bytes.length;
        yield { kind: 'payload', bytes, done: this.#payload === 0 };
        continue;
      }
      const taken = chunk.copy(this.#header, this.#filled, at);
      at += taken;
      this.#filled += taken;
      if (this.#filled < this.#header.length) return;
      this.#filled = 0;
      yield { kind: 'header', header: this.#header };
    }
  }
}
