/**
 * Looks for keys in another process's writable memory, as somebody with a copy of it would: for given bytes, and for AES-256 key schedules, which
 * are known by their structure alone (each of their 60 words follows from the ones before, FIPS 197 §5.2), whatever the key.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

export const scheduleBytes = 240;
const scheduleWords = scheduleBytes / 4;

const pageBytes = 4096;
/** proc(5): of a page's 64 bits, that it is in memory, and that it is in swap. */
const [presentBit, swappedBit] = [0x80, 0x40];

/** A process's writable memory at one moment, as far as it was ever touched: one buffer for each run of pages. */
export function* writableMemory(pid: number): Generator<Buffer> {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const pagemap = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (!match) continue;
      const [start, end] = [Number(`0x${match[1]}`), Number(`0x${match[2]}`)];
      for (const [from, to] of touched(pagemap, start, end)) {
        const pages = read(memory, from, to - from);
        if (pages) yield pages;
      }
    }
  } finally {
    closeSync(memory);
    closeSync(pagemap);
  }
}

/** The runs of touched pages between two addresses. */
function* touched(pagemap: number, start: number, end: number): Generator<[from: number, to: number]> {
  const entries = read(pagemap, (start / pageBytes) * 8, ((end - start) / pageBytes) * 8) ?? Buffer.alloc(0);
  let from = -1;
  for (let at = 0; at <= entries.length; at += 8) {
    const isTouched = at < entries.length && ((entries[at + 7] ?? 0) & (presentBit | swappedBit)) !== 0;
    const address = start + (at / 8) * pageBytes;
    if (isTouched && from < 0) from = address;
    else if (!isTouched && from >= 0) {
      yield [from, address];
      from = -1;
    }
  }
}

/** @returns `undefined` where it cannot be read: unmapped since, or a device's */
function read(file: number, position: number, length: number): Buffer | undefined {
  const buffer = Buffer.alloc(length);
  try {
    for (let filled = 0; filled < length; ) {
      const count = readSync(file, buffer, filled, length - filled, position + filled);
      if (count === 0) return undefined;
      filled += count;
    }
    return buffer;
  } catch {
    return undefined;
  }
}

export interface Found {
  /** How often each of the given byte strings was there, by their names. */
  readonly bytes: Readonly<Record<string, number>>;
  /** The keys, in hexadecimal, of all AES-256 key schedules that were there, each once. */
  readonly schedules: ReadonlySet<string>;
}

/** @param wanted what to look for, by name. Of another process: the search leaves traces in its own */
export function search(pid: number, wanted: Readonly<Record<string, Buffer>>): Found {
  const bytes = Object.fromEntries(Object.keys(wanted).map((name) => [name, 0]));
  const schedules = new Set<string>();
  for (const pages of writableMemory(pid)) {
    for (const [name, each] of Object.entries(wanted)) bytes[name] = (bytes[name] ?? 0) + occurrences(pages, each);
    for (const key of schedulesIn(pages)) schedules.add(key);
  }
  return { bytes, schedules };
}

function occurrences(pages: Buffer, wanted: Buffer): number {
  let count = 0;
  for (let at = pages.indexOf(wanted); at >= 0; at = pages.indexOf(wanted, at + 1)) count++;
  return count;
}

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

/** The word that is XORed to the one eight before, for words in memory's (little-endian) order. @param i its number, from 8 */
function step(i: number, previous: number): number {
  if (i % 8 === 0) return substitute((previous >>> 8) | (previous << 24)) ^ (1 << (i / 8 - 1));
  return i % 8 === 4 ? substitute(previous) : previous;
}

/** FIPS 197 §5.2. */
export function expandKey(key: Buffer): Buffer {
  const out = Buffer.alloc(scheduleBytes);
  key.copy(out);
  for (let i = 8; i < scheduleWords; i++) out.writeInt32LE(out.readInt32LE(4 * (i - 8)) ^ step(i, out.readInt32LE(4 * (i - 1))), 4 * i);
  return out;
}

/** @param pages whole ones, or anything that begins at a multiple of four in memory */
export function schedulesIn(pages: Buffer): string[] {
  const aligned = pages.byteOffset % 4 === 0 ? pages : Buffer.concat([pages, Buffer.alloc(Buffer.poolSize)]);
  const w = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
  const keys: string[] = [];
  for (let at = 0; at + scheduleWords <= w.length; at++) {
    // Cheap words first: nearly everything ends here. The ninth of a schedule is the first XOR something that is hardly ever 0, so zeros end here too.
    if (w[at + 8] === w[at]) continue;
    if (w[at + 9] !== ((w[at + 1] ?? 0) ^ (w[at + 8] ?? 0)) || w[at + 10] !== ((w[at + 2] ?? 0) ^ (w[at + 9] ?? 0))) continue;
    let i = 8;
    while (i < scheduleWords && w[at + i] === ((w[at + i - 8] ?? 0) ^ step(i, w[at + i - 1] ?? 0))) i++;
    if (i === scheduleWords) keys.push(aligned.toString('hex', 4 * at, 4 * at + 32));
  }
  return keys;
}
