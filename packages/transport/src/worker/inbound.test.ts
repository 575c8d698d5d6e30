/** What a true peer sends arrives, however it is cut up; docs/protocol.md "receiving". */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maxDataBytes, maxSequence, recordType } from '../constants.ts';
import { InboundBench } from '../testing/inbound-bench.ts';
import { closePayload } from '../testing/mini.ts';
import { readFrom } from '../testing/wires.ts';

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`an inbound direction, suite ${suite}`, () => {
    it('delivers the stream in pieces of every size from a byte up, and the end of it', () => {
      for (let size = 1; size <= 130; size++) {
        using bench = new InboundBench({ suite });
        const parts = [1, 50, 2, 33].map((length) => randomBytes(length));
        for (const part of parts) bench.feed(bench.data(part), size);
        assert.ok(!bench.inbound.delivered);
        bench.feed(bench.peer.seal(recordType.close, 1, closePayload(4, 86)), size);
        assert.deepEqual(bench.written, Buffer.concat(parts));
        assert.ok(bench.inbound.delivered);
        assert.deepEqual(bench.inbound.total, { records: 4, bytes: 86 });
        assert.equal(readFrom(bench.far), 'ended');
        bench.end();
      }
    });

    it('delivers several records that come at once, cut anywhere, over epoch boundaries', () => {
      fc.assert(
        fc.property(
          fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 15 }),
          fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }),
          (parts, cuts) => {
            using bench = new InboundBench({ suite, epochBits: 2 });
            const stream = Buffer.concat(parts.map((part) => bench.data(part)));
            for (let at = 0, cut = 0; at < stream.length; cut++) {
              const size = cuts[cut % cuts.length] ?? 1;
              bench.feed(stream.subarray(at, at + size));
              at += size;
            }
            assert.deepEqual(bench.written, Buffer.concat(parts));
          },
        ),
        { numRuns: 60 },
      );
    });

    it('delivers the largest record, and refuses one byte more on its header', () => {
      using bench = new InboundBench({ suite });
      const data = randomBytes(maxDataBytes);
      bench.feed(bench.data(data));
      assert.deepEqual(bench.written, data);
      const header = bench.data(Buffer.alloc(maxDataBytes + 1)).subarray(0, 16);
      assert.throws(() => bench.feed(header), { code: 'record' });
    });

    it('holds what a slow reader has not taken, takes no more than one record ahead, and loses nothing', () => {
      using bench = new InboundBench({ suite });
      bench.reading = false;
      const parts = Array.from({ length: 12 }, () => randomBytes(maxDataBytes));
      const stream = Buffer.concat(parts.map((part) => bench.data(part)));
      const taken = bench.feed(stream);
      assert.ok(taken < stream.length / 2, `${taken} bytes were taken`);
      assert.ok(!bench.inbound.wantsWire);
      bench.reading = true;
      bench.feed(stream.subarray(taken));
      assert.deepEqual(bench.written, Buffer.concat(parts));
    });

    it('says that it waits for its local socket, and delivers once that is attached', () => {
      using bench = new InboundBench({ suite, attached: false });
      assert.ok(!bench.inbound.waitsForLocal);
      bench.feed(bench.data(Buffer.from('early')));
      bench.feed(bench.peer.seal(recordType.close, 1, closePayload(1, 5)));
      assert.ok(bench.inbound.waitsForLocal);
      assert.ok(!bench.inbound.delivered);
      bench.attach();
      bench.work();
      assert.equal(String(bench.written), 'early');
      assert.ok(bench.inbound.delivered);
    });
  });
}

describe('an inbound direction', () => {
  it('fails with `local` where QEMU has gone', () => {
    using bench = new InboundBench();
    bench.closeFar();
    assert.throws(() => bench.feed(bench.data(Buffer.from('x'))), { code: 'local' });
  });

  it('hands control records on, in their order', () => {
    using bench = new InboundBench({ channel: 0, channels: 2 });
    const ping = randomBytes(32);
    const grant = randomBytes(18);
    const stream = [
      bench.peer.seal(recordType.ping, 0, ping),
      bench.peer.seal(recordType.grant, 0, grant),
      bench.peer.seal(recordType.running, 0, Buffer.alloc(0)),
      bench.peer.seal(recordType.aborted, 0, Buffer.alloc(0)),
      bench.peer.seal(recordType.close, 0, closePayload(0, 0)),
    ];
    bench.feed(Buffer.concat(stream));
    assert.deepEqual(bench.control, [
      { type: recordType.ping, payload: ping },
      { type: recordType.grant, payload: grant },
      { type: recordType.running, payload: Buffer.alloc(0) },
      { type: recordType.aborted, payload: Buffer.alloc(0) },
    ]);
    assert.ok(bench.inbound.delivered);
  });

  it('ends at sequence number 2^48 with `limit`', () => {
    using bench = new InboundBench({ start: maxSequence - 1, epochBits: 49 });
    bench.feed(bench.data(Buffer.from('last')));
    assert.equal(String(bench.written), 'last');
    assert.throws(() => bench.feed(bench.data(Buffer.from('more'))), { code: 'limit' });
    assert.equal(String(bench.written), 'last');
  });
});
