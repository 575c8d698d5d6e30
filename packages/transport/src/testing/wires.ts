/** Non-blocking unix socket pairs by descriptor, for driving sans-thread code byte by byte. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { E, errno, libc, MSG_NOSIGNAL } from '../native/libc.ts';
import { allocate, type Memory } from '../native/memory.ts';
import { accept, connectUnix, listenUnix } from '../native/sockets.ts';

const spare: [number, number][] = [];

/** As {@link unixPair}, but maybe used before: closing a socket costs milliseconds, which tests that need thousands feel. */
export const borrowPair = (): [number, number] => spare.pop() ?? unixPair();

/** @param pair open in both directions still; what lies in it is thrown away */
export function returnPair(pair: [number, number]): void {
  for (const fd of pair) drain(fd);
  spare.push(pair);
}

/** @returns two ends, each for the caller to close */
export function unixPair(): [number, number] {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-wire-'));
  try {
    const listener = listenUnix(path.join(directory, 's'), 1);
    try {
      const near = connectUnix(path.join(directory, 's'));
      const far = accept(listener);
      if (near === undefined || far < 0) throw new Error('no socket pair');
      return [near, far];
    } finally {
      libc.close(listener);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const scratchBytes = 64 * 1024;
let scratchOfThread: Memory | undefined;
const scratch = (): Memory => {
  scratchOfThread ??= allocate(scratchBytes);
  return scratchOfThread;
};

/** @returns how many of the bytes the socket took, 0 where it takes none for now or never will */
export function writeTo(fd: number, bytes: Uint8Array): number {
  const part = bytes.subarray(0, scratchBytes);
  scratch().bytes.set(part);
  return Math.max(0, libc.send(fd, scratch().address, part.length, MSG_NOSIGNAL));
}

/** @returns what is there, at most `most` bytes; 'ended' at the end of the stream or where the connection broke */
export function readFrom(fd: number, most = scratchBytes): Buffer | 'ended' {
  const { address, bytes } = scratch();
  const count = libc.recv(fd, address, Math.min(most, scratchBytes), 0);
  if (count > 0) return Buffer.from(bytes.subarray(0, count));
  return count < 0 && errno() === E.AGAIN ? Buffer.alloc(0) : 'ended';
}

/** Everything that is there now. */
export function drain(fd: number): Buffer {
  const parts: Buffer[] = [];
  for (;;) {
    const part = readFrom(fd);
    if (part === 'ended' || part.length === 0) return Buffer.concat(parts);
    parts.push(part);
  }
}
