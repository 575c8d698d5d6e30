/** Where a spec comes from and goes to. A key must not end up where others can read it. */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { wipe } from '../keys/hkdf.ts';
import { reasonOf, TunnelError } from './error.ts';
import { parseSpec, type TunnelSpec } from './spec.ts';

/** Several times what a spec has. */
const maxBytes = 4096;
const othersMask = 0o077;

/**
 * @param path a file that nobody else can read, or `-` for standard input
 * @throws TunnelError `usage`
 */
export async function readSpec(path: string): Promise<TunnelSpec> {
  if (path === '-') {
    if (isatty(0)) throw new TunnelError('usage', 'a spec is not to be typed: feed it to standard input, or name its file');
    return parseSpec(await readAll(0, 'standard input'));
  }
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw new TunnelError('usage', `the spec cannot be read: ${path}: ${reasonOf(error)}`, error);
  }
  try {
    return parseSpec(await readAll(fd, path));
  } finally {
    closeSync(fd);
  }
}

/**
 * @param document wiped
 * @param force also to a terminal, or a file that others can read
 * @throws TunnelError `usage`
 */
export function writeSpec(document: Buffer, fd: number, force: boolean): void {
  try {
    if (!force && isatty(fd)) {
      throw new TunnelError('usage', 'this would show the key on the terminal: send it to a file (umask 077) or a pipe, or add --force');
    }
    if (!force && openToOthers(fd)) {
      throw new TunnelError('usage', 'others could read the file that this would go to: set umask 077 before it is made, or add --force');
    }
    for (let written = 0; written < document.length; ) written += writeSync(fd, document, written);
  } finally {
    wipe(document);
  }
}

function openToOthers(fd: number): boolean {
  const status = fstatSync(fd);
  return status.isFile() && (status.mode & othersMask) !== 0;
}

/** @returns the caller wipes it */
async function readAll(fd: number, name: string): Promise<Uint8Array> {
  if (openToOthers(fd))
    throw new TunnelError('usage', `others can read ${name}, and the key in it: make a new spec, in a file of mode 600`);
  const document = Buffer.alloc(maxBytes + 1);
  let filled = 0;
  try {
    for (;;) {
      const count = await readSome(fd, document, filled);
      if (count === 0) return document.subarray(0, filled);
      filled += count;
      if (filled > maxBytes) throw new TunnelError('usage', `${name} is longer than a spec`);
    }
  } catch (error) {
    wipe(document);
    throw error instanceof TunnelError ? error : new TunnelError('usage', `${name} cannot be read: ${reasonOf(error)}`, error);
  }
}

/** Standard input may be non-blocking, as whoever started this process left it. */
async function readSome(fd: number, into: Buffer, at: number): Promise<number> {
  for (;;) {
    try {
      return readSync(fd, into, at, into.length - at, null);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
    await sleep(10);
  }
}
