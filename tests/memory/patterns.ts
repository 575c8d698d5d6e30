/** Many byte strings looked for at once, at any offset, in one pass over the memory's words: it takes no longer for a hundred than for one. */
import { wordsOf } from './pages.ts';

/** Wherever a string of so many bytes lies, a whole aligned word is in it. */
const leastBytes = 7;

interface Entry {
  readonly name: string;
  readonly bytes: Buffer;
  /** Where in the string the word stands. */
  readonly offset: number;
}

export class Patterns {
  /** Is any string's word among those with this hash? */
  readonly #hashes = new Uint8Array(0x10000);
  readonly #byWord = new Map<number, Entry[]>();

  /** @param wanted by name, at least 7 bytes each, none of them with four zeros in a row at its start */
  constructor(wanted: Readonly<Record<string, Buffer>>) {
    for (const [name, bytes] of Object.entries(wanted)) {
      if (bytes.length < leastBytes) throw new RangeError(`${name}: ${bytes.length} bytes`);
      for (let offset = 0; offset < 4; offset++) {
        const word = bytes.readInt32LE(offset);
        if (word === 0) throw new RangeError(`${name}: four zeros in a row`);
        this.#hashes[hash(word)] = 1;
        this.#byWord.set(word, [...(this.#byWord.get(word) ?? []), { name, bytes, offset }]);
      }
    }
  }

  /** Calls `found` with a name for each occurrence. */
  search(memory: Buffer, found: (name: string) => void): void {
    const words = wordsOf(memory);
    const hashes = this.#hashes;
    for (let at = 0; at < words.length; at++) {
      const word = words[at] ?? 0;
      // Most of memory is zeros: a word of them finds nothing, which the strings make sure of.
      if (word === 0 || hashes[hash(word)] === 0) continue;
      for (const { name, bytes, offset } of this.#byWord.get(word) ?? []) {
        const start = 4 * at - offset;
        if (start >= 0 && memory.subarray(start, start + bytes.length).equals(bytes)) found(name);
      }
    }
  }
}

const hash = (word: number): number => (word ^ (word >>> 16)) & 0xffff;
