import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { type Fault, Faults } from '../testing/faults.ts';
import { tunables } from '../tunables.ts';
import { abandon, keep } from './farewell.ts';
import { libc, MSG_NOSIGNAL } from './libc.ts';
import { allocate, freeMemory } from './memory.ts';
import { tcpProgress } from './progress.ts';
import { accept, boundAddress, listenTcp, startConnect } from './sockets.ts';

/** A connection over loopback, whose accepting end reads nothing. */
class Connection implements Disposable {
  readonly #listener = listenTcp({ host: '127.0.0.1', port: 0 });
  readonly #memory = allocate(64 * 1024);
  near: number;
  readonly far: number;

  constructor() {
    this.near = startConnect(boundAddress(this.#listener, { host: '127.0.0.1', port: 0 }));
    this.far = accept(this.#listener);
  }

  /** Of TCP's options: linux/tcp.h. */
  option(fd: number, name: number): number {
    const view = new DataView(this.#memory.bytes.buffer);
    view.setUint32(0, 4, true);
    assert.equal(libc.getsockopt(fd, 6, name, this.#memory.address + 8, this.#memory.address), 0);
    return view.getInt32(8, true);
  }

  send(bytes: number, from = this.near): number {
    return libc.send(from, this.#memory.address, bytes, MSG_NOSIGNAL);
  }

  /** Resolves once the accepting end has room for nothing more, and bytes wait here. */
  async fill(): Promise<void> {
    for (;;) {
      while (this.send(64 * 1024) > 0);
      const progress = tcpProgress(this.near);
      if (progress?.unacknowledged === 0 && progress.unsentBytes > progress.window) return;
      await sleep(10);
    }
  }

  closeNear(): void {
    libc.close(this.near);
    this.near = -1;
  }

  [Symbol.dispose](): void {
    for (const fd of [this.near, this.far, this.#listener]) if (fd >= 0) libc.close(fd);
    freeMemory(this.#memory);
  }
}

/** What TCP_INFO says after seven unanswered window probes or seven that found it closed: tcpi_backoff. */
const askedSeldom: Fault = (real, args) => {
  const result = real(...args);
  new Uint8Array(koffi.view(BigInt((args[3] ?? 0) + 4), 1))[0] = 7;
  return result;
};

const userTimeout = 18;
const linger2 = 8;

describe('a connection', { timeout: 30_000 }, () => {
  it('is given up soon by either end’s kernel, until it is kept', () => {
    using connection = new Connection();
    for (const fd of [connection.near, connection.far]) {
      assert.equal(connection.option(fd, userTimeout), tunables.stallMs);
      keep(fd);
      assert.equal(connection.option(fd, userTimeout), 0);
      assert.equal(connection.option(fd, linger2), tunables.finSeconds);
    }
  });

  it('that is abandoned with words that the peer’s host has room for is given up soon', () => {
    using connection = new Connection();
    keep(connection.near);
    assert.equal(connection.send(1000), 1000);
    abandon(connection.near, true);
    assert.equal(connection.option(connection.near, userTimeout), tunables.stallMs);
  });

  it('whose peer reads nothing is not given up, as long as it must have what waits', async () => {
    using connection = new Connection();
    keep(connection.near);
    await connection.fill();
    abandon(connection.near, true);
    assert.equal(connection.option(connection.near, userTimeout), 0);
    abandon(connection.near, false);
    assert.equal(connection.option(connection.near, userTimeout), tunables.stallMs);
    connection.closeNear();
    assert.equal(connection.send(1, connection.far), 1, 'it was reset, though the kernel tries again soon');
  });

  it('whose peer has read nothing for so long that the kernel hardly asks any more is reset, where nobody needs what waits', async () => {
    using connection = new Connection();
    await connection.fill();
    using faults = new Faults(libc, ['getsockopt'], 0, askedSeldom);
    abandon(connection.near, false);
    assert.deepEqual(faults.calls, ['getsockopt']);
    connection.closeNear();
    assert.equal(connection.send(1, connection.far), -1);
  });
});
