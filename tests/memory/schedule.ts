/**
 * AES-256 key schedules, which are known by their structure alone (each of their 60 words follows from the ones before, FIPS 197 §5.2), whatever the
 * key. OpenSSL keeps their bytes in FIPS 197's order where the processor knows AES (AES-NI, Armv8) and in assembler, and each word's bytes reversed
 * where its C code runs on a little-endian machine.
 */
import { wordsOf } from './pages.ts';

export const scheduleBytes = 240;
const scheduleWords = scheduleBytes / 4;

const sbox = makeSbox();

/** FIPS 197 §5.1.1: the inverse in GF(2^8), then an affine map. */
function makeSbox(): Uint8Array {
  const box = new Uint8Array(256);
  let [p, q] = [1, 1];
  do {
    p = (p ^ (p << 1) ^ (p & 0x80 ? 0x11b : 0)) & 0xff;
    q ^= q << 1;
    q ^= q << 2;
    q ^= q << 4;
    q &= 0xff;
    if (q & 0x80) q ^= 0x09;
    const rotated = q ^ ((q << 1) | (q >> 7)) ^ ((q << 2) | (q >> 6)) ^ ((q << 3) | (q >> 5)) ^ ((q << 4) | (q >> 4));
    box[p] = (rotated ^ 0x63) & 0xff;
  } while (p !== 1);
  box[0] = 0x63;
  return box;
}

const substitute = (word: number): number =>
  (sbox[word & 0xff] ?? 0) |
  ((sbox[(word >>> 8) & 0xff] ?? 0) << 8) |
  ((sbox[(word >>> 16) & 0xff] ?? 0) << 16) |
  ((sbox[word >>> 24] ?? 0) << 24);

const reversed = (word: number): number => (word >>> 24) | ((word >>> 8) & 0xff00) | ((word << 8) & 0xff0000) | (word << 24);

/** The word that is XORed to the one eight before, for words in memory's (little-endian) order. @param i its number, from 8 */
function step(i: number, previous: number): number {
  if (i % 8 === 0) return substitute((previous >>> 8) | (previous << 24)) ^ (1 << (i / 8 - 1));
  return i % 8 === 4 ? substitute(previous) : previous;
}

const stepReversed = (i: number, previous: number): number => reversed(step(i, reversed(previous)));

/** FIPS 197 §5.2. */
export function expandKey(key: Buffer): Buffer {
  const out = Buffer.alloc(scheduleBytes);
  key.copy(out);
  for (let i = 8; i < scheduleWords; i++) out.writeInt32LE(out.readInt32LE(4 * (i - 8)) ^ step(i, out.readInt32LE(4 * (i - 1))), 4 * i);
  return out;
}

/** The keys, in hexadecimal, of all schedules that begin at a multiple of four. */
export function schedulesIn(memory: Buffer): string[] {
  const w = wordsOf(memory);
  const keys: string[] = [];
  for (let at = 0; at + scheduleWords <= w.length; at++) {
    // Cheap words first: nearly everything ends here. The ninth of a schedule is the first XOR something that is hardly ever 0, so zeros end here too.
    if (w[at + 8] === w[at]) continue;
    if (w[at + 9] !== ((w[at + 1] ?? 0) ^ (w[at + 8] ?? 0)) || w[at + 10] !== ((w[at + 2] ?? 0) ^ (w[at + 9] ?? 0))) continue;
    if (follows(w, at, step)) keys.push(memory.toString('hex', 4 * at, 4 * at + 32));
    else if (follows(w, at, stepReversed))
      keys.push(
        Buffer.from(memory.subarray(4 * at, 4 * at + 32))
          .swap32()
          .toString('hex'),
      );
  }
  return keys;
}

function follows(w: Int32Array, at: number, by: typeof step): boolean {
  for (let i = 8; i < scheduleWords; i++) if (w[at + i] !== ((w[at + i - 8] ?? 0) ^ by(i, w[at + i - 1] ?? 0))) return false;
  return true;
}
