/**
 * Markers: texts that are planted in a guest's memory and looked for on the wire. Those of one set begin with the same random prefix, so that
 * one search finds any of them.
 */
import { randomInt } from 'node:crypto';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const prefixLength = 12;
export const markerLength = 32;

const randomText = (length: number): string => Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');

export class MarkerSet {
  readonly prefix = randomText(prefixLength);
  readonly markers: ReadonlySet<string>;

  constructor(count: number) {
    const markers = new Set<string>();
    while (markers.size < count) markers.add(this.prefix + randomText(markerLength - prefixLength));
    this.markers = markers;
  }

  /** What is stored in the guest: each marker twice, 64 bytes, which Redis keeps in memory of its own. */
  get texts(): readonly string[] {
    return [...this.markers].map((marker) => marker + marker);
  }
}

/** Looks for a set's markers in one stream that comes in pieces, also where a marker is cut. */
export class MarkerSearch {
  readonly #prefix: Buffer;
  readonly #markers: ReadonlySet<string>;
  readonly #seen: Set<string>;
  /** The stream's last bytes, one fewer than a marker has; then room for as many of the next piece. */
  readonly #seam = Buffer.alloc(2 * (markerLength - 1));
  #tail = 0;

  /** @param seen gets every marker that is found; it may be shared by several searches */
  constructor(set: MarkerSet, seen: Set<string>) {
    this.#prefix = Buffer.from(set.prefix, 'latin1');
    this.#markers = set.markers;
    this.#seen = seen;
  }

  push(bytes: Buffer): void {
    const head = bytes.copy(this.#seam, this.#tail, 0, Math.min(bytes.length, markerLength - 1));
    this.#find(this.#seam.subarray(0, this.#tail + head));
    if (bytes.length < markerLength) {
      this.#keepLast(this.#seam.subarray(0, this.#tail + head));
    } else {
      this.#find(bytes);
      this.#keepLast(bytes);
    }
  }

  #find(bytes: Buffer): void {
    for (let at = bytes.indexOf(this.#prefix); at >= 0; at = bytes.indexOf(this.#prefix, at + 1)) {
      const text = bytes.toString('latin1', at, at + markerLength);
      if (this.#markers.has(text)) this.#seen.add(text);
    }
  }

  #keepLast(bytes: Buffer): void {
    const start = Math.max(0, bytes.length - (markerLength - 1));
    this.#tail = bytes.copy(this.#seam, 0, start);
  }
}
