/** One direction from the local socket to the wire; the second implementation opens what comes out. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maxDataBytes, maxSequence, recordType, type Suite } from '../constants.ts';
import { Epochs } from '../keys/epochs.ts';
import { libc } from '../native/libc.ts';
import { closePayload, MiniDirection, recordsOf } from '../testing/mini.ts';
import { drain, readFrom, unixPair, writeTo } from '../testing/wires.ts';
import { Outbound } from './outbound.ts';
import { Statistics } from './statistics.ts';

class Bench implements Disposable {
  readonly outbound: Outbound;
  readonly peer: MiniDirection;
  readonly statistics = new Statistics(4);
  readonly #fds: Set<number>;
  readonly far: number;
  readonly wire: number;
  sent = Buffer.alloc(0);

  constructor(suite: Suite, { channel = 1, epochBits = 16, start = 0 } = {}) {
    const secret = randomBytes(32);
    const [own, wire] = unixPair();
    const [local, far] = unixPair();
    this.#fds = new Set([own, wire, local, far]);
    this.far = far;
    this.wire = wire;
    this.peer = new MiniDirection(secret, { suite, epochBits, start });
    this.outbound = new Outbound(channel, own, new Epochs(Buffer.from(secret), 'seal', start, epochBits), suite, this.statistics);
    if (channel !== 0) this.outbound.attach(local);
  }

  /** Lets it work while `most` bytes at a time are taken from the wire, until nothing moves. */
  work(most = 65536): void {
    for (;;) {
      this.outbound.wireWritable = true;
      this.outbound.localReadable = true;
      const moved = this.outbound.step();
      const part = readFrom(this.wire, most);
      if (part !== 'ended') this.sent = Buffer.concat([this.sent, part]);
      if (!moved && part.length === 0) return;
    }
  }

  opened(): { type: number; payload: Buffer }[] {
    return recordsOf(this.sent).map((record) => {
      const { type, payload } = this.peer.open(record);
      return { type, payload };
    });
  }

  close(fd: number): void {
    if (this.#fds.delete(fd)) libc.close(fd);
  }

  [Symbol.dispose](): void {
    this.outbound.free();
    for (const fd of [...this.#fds]) this.close(fd);
  }
}

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`an outbound direction, suite ${suite}`, () => {
    it('carries what the local socket gives, in whatever pieces, taken a few bytes at a time, over epoch boundaries', () => {
      fc.assert(
        fc.property(
          fc.array(fc.uint8Array({ minLength: 1, maxLength: 400 }), { minLength: 1, maxLength: 12 }),
          fc.integer({ min: 1, max: 90 }),
          (parts, most) => {
            using bench = new Bench(suite, { epochBits: 2 });
            for (const part of parts) {
              writeTo(bench.far, part);
              bench.work(most);
            }
            libc.shutdown(bench.far, 1);
            bench.work(most);
            const opened = bench.opened();
            const close = opened.pop();
            const data = Buffer.concat(parts);
            assert.ok(opened.every(({ type }) => type === recordType.data));
            assert.deepEqual(Buffer.concat(opened.map(({ payload }) => payload)), data);
            assert.deepEqual(close, { type: recordType.close, payload: closePayload(opened.length, data.length) });
            assert.deepEqual(bench.outbound.total, { records: opened.length, bytes: data.length });
            assert.ok(bench.outbound.finished);
            assert.equal(bench.statistics.get(1, 'outWire'), bench.sent.length);
          },
        ),
        { numRuns: 40 },
      );
    });

    it('makes records as large as may be while the wire is slow, never larger, and holds back the local socket', () => {
      using bench = new Bench(suite);
      const data = randomBytes(3 * 1024 * 1024);
      let offered = 0;
      // Nothing is taken from the wire.
      for (let idle = 0; idle < 3; ) {
        const taken = writeTo(bench.far, data.subarray(offered));
        offered += taken;
        bench.outbound.wireWritable = true;
        bench.outbound.localReadable = true;
        idle = bench.outbound.step() || taken > 0 ? 0 : idle + 1;
      }
      assert.ok(offered < data.length);
      while (offered < data.length) {
        bench.work();
        offered += writeTo(bench.far, data.subarray(offered));
      }
      libc.shutdown(bench.far, 1);
      bench.work();
      const opened = bench.opened().slice(0, -1);
      assert.deepEqual(Buffer.concat(opened.map(({ payload }) => payload)), data);
      assert.ok(opened.every(({ payload }) => payload.length <= maxDataBytes));
      if (suite !== 'none') assert.ok(opened.some(({ payload }) => payload.length === maxDataBytes));
    });

    it('says CLOSE for an empty stream', () => {
      using bench = new Bench(suite);
      libc.shutdown(bench.far, 1);
      bench.work();
      assert.deepEqual(bench.opened(), [{ type: recordType.close, payload: closePayload(0, 0) }]);
    });

    it('says nothing, and not CLOSE, where the local socket breaks', () => {
      using bench = new Bench(suite);
      // A unix socket that is closed with unread bytes in it resets its peer.
      writeTo(bench.far, Buffer.from('said before'));
      bench.work();
      const before = bench.sent.length;
      const [broken, other] = unixPair();
      bench.outbound.attach(broken);
      writeTo(broken, Buffer.from('unread'));
      libc.close(other);
      assert.throws(() => bench.work(), { code: 'local' });
      bench.sent = Buffer.concat([bench.sent, drain(bench.wire)]);
      assert.equal(bench.sent.length, before);
      assert.ok(!bench.outbound.closeQueued);
      libc.close(broken);
    });

    it('is truncated where the wire is gone', () => {
      using bench = new Bench(suite);
      bench.close(bench.wire);
      writeTo(bench.far, Buffer.from('x'));
      assert.throws(
        () => {
          while (bench.outbound.step());
        },
        { code: 'truncated' },
      );
    });

    it('stops with `limit` rather than use a sequence number again', () => {
      using bench = new Bench(suite, { start: maxSequence - 1, epochBits: 49 });
      writeTo(bench.far, Buffer.from('last'));
      bench.work();
      writeTo(bench.far, Buffer.from('more'));
      assert.throws(() => bench.work(), { code: 'limit' });
      assert.deepEqual(bench.opened(), [{ type: recordType.data, payload: Buffer.from('last') }]);
    });
  });
}

describe('an outbound direction', () => {
  it('puts no local byte on the wire in the sealed suite, and every one in suite none', () => {
    const secret = Buffer.from('a page of the guest that nobody may see');
    for (const suite of ['aes-256-gcm', 'none'] as const) {
      using bench = new Bench(suite);
      writeTo(bench.far, secret);
      bench.work();
      assert.equal(bench.sent.includes(secret), suite === 'none');
    }
  });

  it('sends control records in order, CLOSE last, and nothing after it', () => {
    using bench = new Bench('none', { channel: 0 });
    const ping = randomBytes(48);
    bench.outbound.control(recordType.ping, ping);
    bench.outbound.control(recordType.aborted, Buffer.alloc(0));
    bench.outbound.close();
    bench.outbound.control(recordType.ping, ping);
    bench.work();
    bench.outbound.control(recordType.running, Buffer.alloc(0));
    bench.work();
    assert.ok(!bench.sent.includes(ping), 'control records are sealed in suite none too');
    assert.deepEqual(bench.opened(), [
      { type: recordType.ping, payload: ping },
      { type: recordType.aborted, payload: Buffer.alloc(0) },
      { type: recordType.close, payload: closePayload(0, 0) },
    ]);
    assert.ok(bench.outbound.finished);
  });
});
