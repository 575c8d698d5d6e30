/** Two gates in the test's own thread: the source's and the destination's. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type Attempt, contextHash } from '../keys/context.ts';
import { helloKeys } from '../keys/schedule.ts';
import { libc } from '../native/libc.ts';
import { boundAddress, connectUnix, listenTcp } from '../native/sockets.ts';
import { drive } from '../testing/caller.ts';
import { testAttempt } from '../testing/pair.ts';
import { Gate } from './gate.ts';
import type { Address, GateReport, HelloSession } from './messages.ts';

const loopback: Address = { host: '127.0.0.1', port: 0 };
const attempt = testAttempt();
const key = randomBytes(32);

/** A session of one gate, with its own copy of the keys. */
function sessionOf(number: number, channels = 4, changes: Partial<Attempt> = {}, specKey: Buffer = key): HelloSession {
  const context = contextHash({ ...attempt, channels, ...changes });
  const derived = helloKeys(specKey, attempt.nonce, context);
  const keys = new SharedArrayBuffer(64);
  new Uint8Array(keys).set(Buffer.concat([derived.hello, derived.dh]));
  return { session: number, version: 1, migration: attempt.migration, attempt: 1, channels, context, keys };
}

const wiped = ({ keys }: HelloSession): boolean => new Uint8Array(keys).every((byte) => byte === 0);

class Tended implements Disposable {
  readonly reports: GateReport[] = [];
  readonly gate = new Gate((report) => this.reports.push(report));

  of<K extends GateReport['kind']>(kind: K): Extract<GateReport, { kind: K }>[] {
    return this.reports.filter((report): report is Extract<GateReport, { kind: K }> => report.kind === kind);
  }

  listen(...addresses: Address[]): readonly Address[] {
    this.gate.message({ kind: 'listen', addresses });
    return this.of('listening')[0]?.addresses ?? [];
  }

  [Symbol.dispose](): void {
    this.gate.stop();
    for (const { wire } of this.of('confirmed')) libc.close(wire);
    for (const { local } of this.of('local')) libc.close(local);
  }
}

function until(what: string, gates: readonly Tended[], condition: () => boolean): void {
  drive(
    what,
    gates.map(({ gate }) => gate),
    () => {
      for (const { gate } of gates) gate.tick(performance.now());
      return condition();
    },
  );
}

describe('two gates', () => {
  it('open every channel once, alike at both ends, spread over the addresses', () => {
    using source = new Tended();
    using destination = new Tended();
    const addresses = destination.listen(loopback, { host: '::1', port: 0 });
    destination.gate.message({ kind: 'expect', ...sessionOf(7) });
    source.gate.message({ kind: 'dial', ...sessionOf(9), addresses, timeoutMs: 10_000 });
    until('all confirmed', [source, destination], () => source.of('confirmed').length === 4 && destination.of('confirmed').length === 4);
    const secretsOf = (tended: Tended) =>
      tended
        .of('confirmed')
        .toSorted((a, b) => a.channel - b.channel)
        .map(({ channel, secrets }) => [channel, Buffer.from(secrets).toString('hex')]);
    assert.deepEqual(secretsOf(source), secretsOf(destination));
    assert.deepEqual(
      secretsOf(source).map(([channel]) => channel),
      [0, 1, 2, 3],
    );
    assert.equal(new Set(secretsOf(source).map(([, secrets]) => secrets)).size, 4);
  });

  it('wipe the keys of hellos when they are told that none is left to do', () => {
    using source = new Tended();
    using destination = new Tended();
    const [near, far] = [sessionOf(1), sessionOf(2)];
    destination.gate.message({ kind: 'expect', ...far });
    source.gate.message({ kind: 'dial', ...near, addresses: destination.listen(loopback), timeoutMs: 10_000 });
    until('all confirmed', [source, destination], () => source.of('confirmed').length === 4 && destination.of('confirmed').length === 4);
    assert.ok(!wiped(near) && !wiped(far));
    source.gate.message({ kind: 'forget-keys', session: 1 });
    destination.gate.message({ kind: 'forget-keys', session: 2 });
    assert.ok(wiped(near) && wiped(far));
  });

  it('get there when the destination learns of the attempt later than the source', () => {
    using source = new Tended();
    using destination = new Tended();
    source.gate.message({ kind: 'dial', ...sessionOf(1, 2), addresses: destination.listen(loopback), timeoutMs: 10_000 });
    let rounds = 0;
    until('a few refused tries', [source, destination], () => rounds++ > 20);
    assert.deepEqual(source.reports, []);
    destination.gate.message({ kind: 'expect', ...sessionOf(2, 2) });
    until('all confirmed', [source, destination], () => destination.of('confirmed').length === 2);
  });
});

describe('two gates that were told different things', () => {
  const differing: Record<string, HelloSession> = {
    'another key': sessionOf(1, 4, {}, randomBytes(32)),
    'another suite': sessionOf(1, 4, { suite: 'none' }),
    'another host': sessionOf(1, 4, { destinationKeyHash: randomBytes(32) }),
    'another number of channels': sessionOf(1, 3),
  };
  for (const [name, near] of Object.entries(differing)) {
    it(`confirm nothing, and the destination waits on undisturbed: ${name}`, () => {
      using source = new Tended();
      using destination = new Tended();
      const addresses = destination.listen(loopback);
      destination.gate.message({ kind: 'expect', ...sessionOf(2) });
      source.gate.message({ kind: 'dial', ...near, addresses, timeoutMs: 250 });
      until('given up', [source, destination], () => source.of('failed').length > 0);
      assert.deepEqual(
        [source, destination].map(({ reports }) => reports.map(({ kind }) => kind)),
        [['failed'], ['listening']],
      );
      source.gate.message({ kind: 'dial', ...sessionOf(3), addresses, timeoutMs: 10_000 });
      until('all confirmed', [source, destination], () => destination.of('confirmed').length === 4);
    });
  }
});

describe("a source's gate", () => {
  it('gives up at the deadline with `hello`, once, and forgets the session', () => {
    using source = new Tended();
    using stranger = new Tended();
    const near = sessionOf(1);
    // It listens and knows nothing of the attempt.
    source.gate.message({ kind: 'dial', ...near, addresses: stranger.listen(loopback), timeoutMs: 50 });
    until('given up', [source, stranger], () => source.of('failed').length > 0);
    const [failed, ...more] = source.of('failed');
    assert.deepEqual([failed?.code, failed?.session, more.length], ['hello', 1, 0]);
    assert.match(failed?.message ?? '', /channel \d could not be opened: 127\.0\.0\.1:\d+: /);
    assert.ok(wiped(near));
    let rounds = 0;
    until('nothing more', [source, stranger], () => rounds++ > 20);
    assert.equal(source.of('failed').length, 1);
  });

  it('says what is wrong where nobody listens', () => {
    using source = new Tended();
    const listener = listenTcp(loopback);
    const free = boundAddress(listener, loopback);
    libc.close(listener);
    source.gate.message({ kind: 'dial', ...sessionOf(1), addresses: [free], timeoutMs: 50 });
    until('given up', [source], () => source.of('failed').length > 0);
    assert.match(source.of('failed')[0]?.message ?? '', /ECONNREFUSED/);
  });

  it('hands local streams over by descriptor, as many as there are channels for', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-gate-'));
    const opened: number[] = [];
    try {
      using source = new Tended();
      const socket = path.join(directory, 's');
      source.gate.message({ kind: 'listen-local', session: 1, path: socket, first: 1, count: 2 });
      assert.deepEqual(source.reports, [{ kind: 'local-listening', session: 1, first: 1 }]);
      opened.push(connectUnix(socket) ?? -1, connectUnix(socket) ?? -1);
      until('both accepted', [source], () => source.of('local').length === 2);
      assert.throws(() => connectUnix(socket), { code: 'local', message: /ECONNREFUSED/ });
      source.gate.message({ kind: 'listen-local', session: 2, path: socket, first: 1, count: 2 });
      assert.deepEqual(
        source.of('failed').map(({ code, session }) => [code, session]),
        [['local', 2]],
      );
    } finally {
      for (const fd of opened) libc.close(fd);
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe("a destination's gate", () => {
  it('says why it cannot listen, and then listens nowhere', () => {
    using first = new Tended();
    using second = new Tended();
    const [taken] = first.listen(loopback);
    assert.ok(taken);
    const free = listenTcp(loopback);
    const other = boundAddress(free, loopback);
    libc.close(free);
    second.gate.message({ kind: 'listen', addresses: [other, taken] });
    assert.match(second.of('not-listening')[0]?.message ?? '', /EADDRINUSE/);
    libc.close(listenTcp(other));
  });

  it('is deaf once it was told so, and wipes what it expected when told to stop', () => {
    const far = sessionOf(1);
    using destination = new Tended();
    const [address] = destination.listen(loopback);
    assert.ok(address);
    destination.gate.message({ kind: 'expect', ...far });
    destination.gate.message({ kind: 'unlisten' });
    libc.close(listenTcp(address));
    destination.gate.stop();
    assert.ok(wiped(far));
  });
});
