/**
 * Ten thousand strangers before and while a tunnel carries bytes: all of them arrive, and the process that is called holds no more of the
 * strangers at a time than it says, and is no larger after ten thousand than after two. That process is one of its own, looked at from outside.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { m1Bytes } from './constants.ts';
import { parseAddress } from './native/sockets.ts';
import type { Said } from './testing/receiving.ts';
import { tunables } from './tunables.ts';
import { makeSpec, parseSpec } from './tunnel/spec.ts';
import { runTunnel } from './tunnel/tunnel.ts';

const strangers = 10_000;
/** Of these, so many come before the source does. */
const early = 1_000;
/** From here on the process must not grow any more: what it does for strangers it has done often enough. */
const settled = 2_000;
const streams = 3;

/** The called process. */
class Called implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly #said: Said[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(document: string, connectUnix: string) {
    this.#child = fork(fileURLToPath(new URL('./testing/receiving.ts', import.meta.url)));
    this.#child.on('message', (said: Said) => {
      this.#said.push(said);
      this.#wake();
    });
    this.#gone = once(this.#child, 'exit').then(() => {
      this.#ended = true;
      this.#wake();
    });
    this.#child.send({ document, connectUnix });
  }

  /** @throws where it ends without */
  async says<K extends string>(field: K): Promise<Extract<Said, Record<K, unknown>>> {
    for (;;) {
      const said = this.#said.find((each): each is Extract<Said, Record<K, unknown>> => field in each);
      if (said) return said;
      assert.ok(!this.#ended, `it ended and never said "${field}"`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.#child.pid}/fd`).length;
  }

  /** Resident memory. */
  get bytes(): number {
    return Number(readFileSync(`/proc/${this.#child.pid}/statm`, 'utf8').split(' ')[1]) * 4096;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.#child.kill('SIGKILL');
    await this.#gone;
  }
}

/** They call, and go when they are sent away. */
class Strangers implements Disposable {
  readonly #port: number;
  readonly #migration: Buffer;
  readonly #there = new Set<net.Socket>();
  #freed: () => void = () => undefined;
  called = 0;

  constructor(port: number, migration: string) {
    this.#port = port;
    this.#migration = Buffer.from(migration.replaceAll('-', ''), 'hex');
  }

  /** @returns when all of them are connected and have said what they say */
  async call(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      // A descriptor each, of which a process may have as few as 1,024.
      while (this.#there.size >= 600) {
        await new Promise<void>((resolve) => {
          this.#freed = resolve;
        });
      }
      const socket = net.connect(this.#port, '127.0.0.1');
      this.#there.add(socket);
      // Sent away with words unread is a reset.
      socket.on('error', () => undefined).resume();
      socket.on('end', () => socket.destroy());
      socket.on('close', () => {
        this.#there.delete(socket);
        this.#freed();
      });
      await once(socket, 'connect');
      socket.write(this.#words(this.called++));
    }
  }

  /** Nothing; some; as much as a hello; a hello of this very migration, but for the proof. */
  #words(stranger: number): Buffer {
    if (stranger % 4 === 0) return Buffer.alloc(0);
    if (stranger % 4 === 1) return randomBytes(10);
    const hello = randomBytes(m1Bytes);
    if (stranger % 4 === 2) return hello;
    hello.writeUInt8(1, 0);
    this.#migration.copy(hello, 1);
    hello.writeUInt32BE(1, 17);
    hello.writeUInt16BE(1 + (stranger % streams), 21);
    return hello;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#there) socket.destroy();
  }
}

/** A program at the far end. @returns the hash of each stream, by the letter that it begins with */
function takeStreams(server: net.Server): Map<string, Promise<string>> {
  const hashes = new Map<string, Promise<string>>();
  server.on('connection', (socket: net.Socket) => {
    const hash = createHash('sha256');
    const ended = new Promise<string>((resolve) => socket.on('close', () => resolve(hash.digest('hex'))));
    socket.once('data', (first: Buffer) => hashes.set(first.toString('latin1', 0, 1), ended));
    socket
      .on('error', () => undefined)
      .on('data', (bytes: Buffer) => hash.update(bytes))
      .on('end', () => socket.end());
  });
  return hashes;
}

describe(`a flood of ${strangers} strangers`, () => {
  it('keeps no byte from arriving, and takes no more of the process than 256 of them', { timeout: 110_000 }, async ({ signal }) => {
    await using stack = new AsyncDisposableStack();
    // Without the processes and sockets nothing is left to wait for.
    signal.addEventListener('abort', () => void stack.disposeAsync());
    const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-flood-'));
    stack.defer(() => rmSync(directory, { recursive: true, force: true }));
    const [out, far] = [path.join(directory, 'out'), path.join(directory, 'in')];
    const server = stack.adopt(net.createServer({ allowHalfOpen: true }), (it) => void it.close());
    const hashes = takeStreams(server);
    await once(server.listen(far), 'listening');

    const document = makeSpec('aes-256-gcm', streams, Date.now() + 600_000);
    const { migration } = JSON.parse(String(document));
    const called = stack.use(new Called(String(document), far));
    const to = parseAddress((await called.says('listening')).listening);
    const unhurt = called.descriptors;
    const flood = stack.use(new Strangers(to.port, migration));
    let most = 0;
    let bytes = 0;
    const call = async (count: number) => {
      for (const end = flood.called + count; flood.called < end; ) {
        await flood.call(25);
        most = Math.max(most, called.descriptors);
        if (flood.called === settled) bytes = called.bytes;
      }
    };
    await call(early);

    const stop = new AbortController();
    stack.defer(() => stop.abort());
    const ready = Promise.withResolvers<void>();
    const sent = runTunnel({
      role: 'send',
      spec: parseSpec(document),
      threads: 1,
      signal: stop.signal,
      to: [to],
      listenUnix: out,
      idleExitMs: 0,
      say: () => ready.resolve(),
    });
    await Promise.race([ready.promise, sent]);
    const sockets = Array.from({ length: streams }, () => net.connect({ path: out, allowHalfOpen: true }));
    for (const socket of sockets)
      stack.defer(
        () =>
          void socket
            .resume()
            .on('error', () => undefined)
            .destroy(),
      );
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const sums = sockets.map(() => createHash('sha256'));
    for (let round = 0; flood.called < strangers; round++) {
      for (const [i, socket] of sockets.entries()) {
        const part = randomBytes(70_000 + round);
        if (round === 0) part.write('abc'.charAt(i), 0);
        sums[i]?.update(part);
        if (!socket.write(part)) await once(socket, 'drain');
      }
      await call(100);
    }
    const grown = called.bytes - bytes;
    for (const socket of sockets) socket.resume().end();

    assert.equal((await sent).outcome, 'completed');
    assert.deepEqual({ ...(await called.says('outcome')) }, { outcome: 'completed', failure: null });
    for (const [i, sum] of sums.entries()) assert.equal(await hashes.get('abc'.charAt(i)), sum.digest('hex'));
    // Two descriptors a channel, one that was just accepted, and a few for the runtime.
    const room = unhurt + tunables.maxPending + 2 * (streams + 1) + 8;
    assert.ok(most <= room, `${most} descriptors, of which ${unhurt} without strangers`);
    assert.ok(most >= unhurt + tunables.maxPending / 2, 'hardly any stranger was there at a time: this shows nothing');
    assert.ok(grown < 16 * 1024 * 1024, `grew by ${grown} bytes`);
  });
});
