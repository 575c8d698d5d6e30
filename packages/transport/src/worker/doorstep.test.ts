/** The destination before authentication: strangers get nothing and harm nothing. docs/protocol.md "hello". */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { confirmBytes, m1Bytes, m2Bytes } from '../constants.ts';
import { SourceHello } from '../hello/hello.ts';
import { contextHash, migrationId } from '../keys/context.ts';
import { helloKeys } from '../keys/schedule.ts';
import { libc } from '../native/libc.ts';
import { boundAddress, listenTcp } from '../native/sockets.ts';
import { Caller, drive } from '../testing/caller.ts';
import { testAttempt } from '../testing/pair.ts';
import { readFrom } from '../testing/wires.ts';
import { tunables } from '../tunables.ts';
import { Doorstep, type Expected } from './doorstep.ts';

const attempt = testAttempt();
const key = randomBytes(32);
const context = contextHash(attempt);
const keys = helloKeys(key, attempt.nonce, context);

class Porch implements Disposable {
  readonly confirmed: { channel: number; wire: number }[] = [];
  readonly expected: Expected = {
    session: 1,
    version: 1,
    migration: migrationId(attempt.migration).toString('hex'),
    attempt: 1,
    channels: 4,
    context,
    keys,
    claimed: new Set(),
  };
  readonly doorstep = new Doorstep(
    (migration, number) => (migration === this.expected.migration && number === 1 ? this.expected : undefined),
    (_, channel, wire) => this.confirmed.push({ channel, wire }),
  );
  readonly #listener = listenTcp({ host: '127.0.0.1', port: 0 });
  readonly #address = boundAddress(this.#listener, { host: '127.0.0.1', port: 0 });
  readonly #callers: Caller[] = [];

  /** Somebody connects and is let onto the doorstep. */
  call(now = 0): Caller {
    const caller = new Caller(this.#address);
    this.#callers.push(caller);
    this.doorstep.admit(this.#listener, now);
    return caller;
  }

  until(what: string, condition: () => boolean): void {
    drive(what, [this.doorstep], condition);
  }

  /** M1 sent and M2 received. */
  answered(caller: Caller, hello: SourceHello): Buffer {
    assert.ok(caller.send(hello.begin()));
    this.until('M2', () => caller.look().received.length === m2Bytes);
    return caller.received;
  }

  /** A whole true hello. */
  open(channel: number): Caller {
    const caller = this.call();
    const hello = helloOf(channel);
    const finished = hello.finish(this.answered(caller, hello));
    hello.free();
    assert.ok(finished && caller.send(finished.confirm));
    const before = this.confirmed.length;
    this.until('confirmed', () => this.confirmed.length > before);
    return caller;
  }

  [Symbol.dispose](): void {
    this.doorstep.clear();
    for (const { wire } of this.confirmed) libc.close(wire);
    for (const caller of this.#callers) caller[Symbol.dispose]();
    libc.close(this.#listener);
  }
}

const helloOf = (channel: number, changes: { version?: number; attempt?: number; migration?: string } = {}, withKeys = keys) =>
  new SourceHello({ version: 1, migration: attempt.migration, attempt: 1, channel, ...changes }, withKeys, context);

describe('the doorstep', () => {
  it('lets a source in, and leaves what came right behind CONFIRM on the connection', () => {
    using porch = new Porch();
    const caller = porch.call();
    const hello = helloOf(2);
    const finished = hello.finish(porch.answered(caller, hello));
    hello.free();
    assert.ok(finished);
    assert.ok(caller.send(Buffer.concat([finished.confirm, Buffer.from('and a record')])));
    porch.until('confirmed', () => porch.confirmed.length > 0);
    const [{ channel, wire } = { channel: -1, wire: -1 }] = porch.confirmed;
    assert.equal(channel, 2);
    assert.equal(String(readFrom(wire)), 'and a record');
    assert.equal(porch.doorstep.pending, 0);
    assert.ok(porch.expected.claimed.has(2));
  });

  it('lets a source in whose bytes come one by one', () => {
    using porch = new Porch();
    const caller = porch.call();
    const hello = helloOf(1);
    const slowly = (bytes: Buffer) => {
      for (const byte of bytes) {
        assert.ok(caller.send(Buffer.of(byte)));
        let rounds = 0;
        porch.until('one byte', () => rounds++ > 0);
      }
    };
    slowly(hello.begin());
    porch.until('M2', () => caller.look().received.length === m2Bytes);
    const finished = hello.finish(caller.received);
    hello.free();
    assert.ok(finished);
    slowly(finished.confirm);
    porch.until('confirmed', () => porch.confirmed.length === 1);
  });

  const wrong: Record<string, () => Buffer> = {
    garbage: () => randomBytes(m1Bytes),
    'another version': () => helloOf(1, { version: 2 }).begin(),
    'another attempt': () => helloOf(1, { attempt: 2 }).begin(),
    'another migration': () => helloOf(1, { migration: testAttempt().migration }).begin(),
    'a channel that there is not': () => helloOf(4).begin(),
    'another key': () => helloOf(1, {}, helloKeys(randomBytes(32), attempt.nonce, context)).begin(),
  };
  for (const [name, m1] of Object.entries(wrong)) {
    it(`closes on M1 with ${name}, without a byte of answer`, () => {
      using porch = new Porch();
      const caller = porch.call();
      assert.ok(caller.send(m1()));
      porch.until('closed', () => caller.look().ended);
      assert.equal(caller.received.length, 0);
      assert.equal(porch.doorstep.pending, 0);
    });
  }

  it('closes when the caller hangs up in the middle', () => {
    using porch = new Porch();
    const caller = porch.call();
    assert.ok(caller.send(helloOf(1).begin().subarray(0, 50)));
    libc.shutdown(caller.fd, 1);
    porch.until('closed', () => porch.doorstep.pending === 0);
  });

  it('gives a replayed M1 no channel: whoever replays it cannot confirm, and the true source still can', () => {
    using porch = new Porch();
    const recorded = helloOf(1).begin();
    const thief = porch.call();
    assert.ok(thief.send(recorded));
    porch.until('M2', () => thief.look().received.length === m2Bytes);
    assert.ok(thief.send(randomBytes(confirmBytes)));
    porch.until('closed', () => thief.look().ended);
    assert.ok(!porch.expected.claimed.has(1));
    porch.open(1);
    // Afterwards not even M2.
    const again = porch.call();
    assert.ok(again.send(recorded));
    porch.until('closed', () => again.look().ended);
    assert.equal(again.received.length, 0);
    assert.equal(porch.confirmed.length, 1);
  });

  it('takes bytes that come too early for CONFIRM, and refuses them', () => {
    using porch = new Porch();
    const caller = porch.call();
    assert.ok(caller.send(Buffer.concat([helloOf(1).begin(), Buffer.alloc(confirmBytes)])));
    porch.until('closed', () => caller.look().ended);
    assert.deepEqual(porch.confirmed, []);
  });

  it('gives a channel to the first CONFIRM of two', () => {
    using porch = new Porch();
    const [first, second] = [porch.call(), porch.call()];
    const [one, two] = [helloOf(3), helloOf(3)];
    const [a, b] = [one.finish(porch.answered(first, one)), two.finish(porch.answered(second, two))];
    one.free();
    two.free();
    assert.ok(a && b && second.send(b.confirm));
    porch.until('confirmed', () => porch.confirmed.length === 1);
    assert.ok(first.send(a.confirm));
    porch.until('closed', () => first.look().ended);
    assert.equal(porch.confirmed.length, 1);
  });

  it('closes whoever takes longer than five seconds, in any state', () => {
    using porch = new Porch();
    const silent = porch.call(1000);
    const slow = porch.call(1000);
    const hello = helloOf(1);
    porch.answered(slow, hello);
    hello.free();
    const late = porch.call(1001);
    porch.doorstep.tick(1000 + tunables.helloMs);
    assert.equal(porch.doorstep.pending, 3);
    porch.doorstep.tick(1000 + tunables.helloMs + 1);
    assert.equal(porch.doorstep.pending, 1);
    assert.ok(silent.look().ended);
    assert.ok(slow.look().look().ended);
    assert.ok(!late.look().ended);
  });

  it('has room for 256, evicts strangers beyond that, and still lets the session complete', () => {
    using porch = new Porch();
    const known = porch.call();
    const hello = helloOf(0);
    const finished = hello.finish(porch.answered(known, hello));
    hello.free();
    const strangers = Array.from({ length: tunables.maxPending + 40 }, () => porch.call());
    assert.equal(porch.doorstep.pending, tunables.maxPending);
    assert.equal(strangers.filter((stranger) => stranger.look().ended).length, 41);
    assert.ok(finished && known.send(finished.confirm));
    porch.until('confirmed', () => porch.confirmed.length === 1);
    porch.open(1);
    porch.open(2);
    porch.open(3);
  });

  it('evicts one that has shown an authentic M1 only where there is no other', () => {
    using porch = new Porch();
    const m1 = helloOf(1).begin();
    const sources = Array.from({ length: tunables.maxPending }, () => {
      const caller = porch.call();
      assert.ok(caller.send(m1));
      return caller;
    });
    porch.until('all M2', () => sources.every((source) => source.look().received.length === m2Bytes));
    const stranger = porch.call();
    assert.equal(sources.filter((source) => source.look().ended).length, 1);
    porch.call();
    assert.ok(stranger.look().ended);
    assert.equal(sources.filter((source) => source.look().ended).length, 1);
  });

  it('forgets those who have named a session, and them only', () => {
    using porch = new Porch();
    const known = porch.call();
    const hello = helloOf(1);
    porch.answered(known, hello);
    hello.free();
    const stranger = porch.call();
    porch.doorstep.forget(2);
    assert.equal(porch.doorstep.pending, 2);
    porch.doorstep.forget(1);
    assert.ok(known.look().ended);
    assert.ok(!stranger.look().ended);
  });
});
