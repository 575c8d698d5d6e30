/** Another process's writable memory, as somebody with a copy of it would have it. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const pageBytes = 4096;
/** proc(5): of a page's 64 bits, that it is in memory, and that it is in swap. */
const [presentBit, swappedBit] = [0x80, 0x40];

/** What a run of pages is read into: memory that is fresh each time would cost more than reading. */
let room = Buffer.alloc(1 << 24);

/** A process's writable memory at one moment, as far as it was ever touched: each run of pages, which is valid until the next is asked for. */
export function* writableMemory(pid: number): Generator<Buffer> {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const pagemap = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (!match) continue;
      const [start, end] = [Number(`0x${match[1]}`), Number(`0x${match[2]}`)];
      for (const [from, to] of touched(pagemap, start, end)) {
        if (to - from > room.length) room = Buffer.alloc(to - from);
        const pages = read(memory, from, room.subarray(0, to - from));
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
  const entries = read(pagemap, (start / pageBytes) * 8, Buffer.alloc(((end - start) / pageBytes) * 8)) ?? Buffer.alloc(0);
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

/** Fills a buffer. @returns `undefined` where it cannot be read: unmapped since, or a device's */
function read(file: number, position: number, into: Buffer): Buffer | undefined {
  try {
    for (let filled = 0; filled < into.length; ) {
      const count = readSync(file, into, filled, into.length - filled, position + filled);
      if (count === 0) return undefined;
      filled += count;
    }
    return into;
  } catch {
    return undefined;
  }
}

/** Memory as 32-bit words in the machine's order; bytes at its end that are not a whole word are left out. */
export function wordsOf(memory: Buffer): Int32Array {
  const aligned = memory.byteOffset % 4 === 0 ? memory : new Uint8Array(memory);
  return new Int32Array(aligned.buffer, aligned.byteOffset, memory.length >> 2);
}
