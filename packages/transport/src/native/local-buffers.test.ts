import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { tunables } from '../tunables.ts';
import { libc } from './libc.ts';
import { enlargeLocal, enlargePeer } from './local-buffers.ts';
import { allocate, freeMemory } from './memory.ts';
import { accept, connectUnix, listenUnix } from './sockets.ts';

const MSG_PEEK = 2;
/** Connects twice to the first path and once to the second, then writes far more to each than any socket takes. */
const program = `
const net = require('node:net');
const [a, b] = process.argv.slice(1);
for (const path of [a, a, b]) net.connect(path).write(Buffer.alloc(8 << 20));
setInterval(() => {}, 1e6);`;

/** How much waits to be read, once that is no longer getting more. */
async function waiting(fd: number): Promise<number> {
  const memory = allocate(4 << 20);
  try {
    for (let before = -1; ; await delay(50)) {
      const now = libc.recv(fd, memory.address, memory.bytes.length, MSG_PEEK);
      if (now === before && now > 0) return now;
      before = now;
    }
  } finally {
    freeMemory(memory);
  }
}

async function accepted(listener: number): Promise<number> {
  for (;;) {
    const fd = accept(listener);
    if (fd >= 0) return fd;
    await delay(10);
  }
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

describe('room in a unix socket', () => {
  it('is given to the program at the other end, on its sockets to that path and no other', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-buffers-'));
    const [a, b] = [path.join(directory, 'a'), path.join(directory, 'b')];
    const descriptors: number[] = [];
    const keep = (fd: number): number => {
      descriptors.push(fd);
      return fd;
    };
    const listeners = [keep(listenUnix(a, 4)), keep(listenUnix(b, 4))] as const;
    const child = spawn(process.execPath, ['-e', program, a, b], { stdio: 'ignore' });
    const gone = once(child, 'exit');
    try {
      const first = keep(await accepted(listeners[0]));
      const second = keep(await accepted(listeners[0]));
      const other = keep(await accepted(listeners[1]));
      const before = await waiting(other);
      const opened = openDescriptors();
      assert.equal(enlargePeer(first), 2);
      assert.equal(openDescriptors(), opened);
      assert.equal(enlargePeer(second), 2, 'what has the room keeps it');
      assert.ok((await waiting(other)) === before, 'another path');
      // A socket that is full is written to again once something has been read.
      const memory = allocate(1 << 20);
      while (libc.read(first, memory.address, 1 << 20) > 0);
      freeMemory(memory);
      assert.ok((await waiting(first)) >= tunables.localBuffer);
    } finally {
      child.kill('SIGKILL');
      await gone;
      for (const fd of descriptors) libc.close(fd);
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('is this end’s own to take, and is left alone where both ends are of this process', async () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-buffers-'));
    const listener = listenUnix(path.join(directory, 'a'), 4);
    const caller = connectUnix(path.join(directory, 'a')) ?? -1;
    const called = await accepted(listener);
    const memory = allocate(1 << 20);
    try {
      enlargeLocal(caller);
      let taken = 0;
      for (let count = 1; count > 0; taken += Math.max(0, count)) count = libc.write(caller, memory.address, 1 << 16);
      assert.ok(taken >= tunables.localBuffer, `${taken} bytes`);
      assert.equal(enlargePeer(called), 0);
    } finally {
      freeMemory(memory);
      for (const fd of [called, caller, listener]) libc.close(fd);
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
