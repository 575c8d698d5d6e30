/** Memory outside the JavaScript heap: at a known, fixed address, so that calls into the kernel and OpenSSL need no view and no copy. */
import os from 'node:os';
import koffi from 'koffi';
import { TransportError } from '../errors.ts';
import { hold, holdingKind, letGo } from './holdings.ts';
import { errno, libc } from './libc.ts';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MADV_DONTDUMP = 16;
const pageBytes = 4096;

export interface Memory {
  readonly address: number;
  /** The same bytes, for JavaScript. Must not be touched after {@link freeMemory}. */
  readonly bytes: Uint8Array;
}

/**
 * Zeroed pages. With `secret` they are kept out of core dumps and, where RLIMIT_MEMLOCK allows it, out of swap.
 *
 * @throws TransportError `local` where the kernel has no memory
 */
export function allocate(length: number, { secret = false } = {}): Memory {
  const rounded = Math.ceil(length / pageBytes) * pageBytes;
  const address = libc.mmap(0, rounded, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  // MAP_FAILED is the highest address.
  if (address > Number.MAX_SAFE_INTEGER) throw new TransportError('local', `no memory for ${rounded} bytes: ${nameOf(errno())}`);
  try {
    hold(holdingKind.memory, address, rounded);
  } catch (error) {
    libc.munmap(address, rounded);
    throw error;
  }
  if (secret) {
    libc.madvise(address, rounded, MADV_DONTDUMP);
    libc.mlock(address, rounded);
  }
  return { address, bytes: new Uint8Array(koffi.view(BigInt(address), rounded), 0, length) };
}

/** Overwrites and unmaps. The views on it must never be used again. */
export function freeMemory(memory: Memory): void {
  memory.bytes.fill(0);
  letGo(memory.address);
  libc.munmap(memory.address, Math.ceil(memory.bytes.length / pageBytes) * pageBytes);
}

/** `EPIPE (32)` and the like. */
export function nameOf(code: number): string {
  const found = Object.entries(os.constants.errno).find(([, value]) => value === code);
  return found ? `${found[0]} (${code})` : `errno ${code}`;
}
