import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maxDataBytes, recordType } from '../constants.ts';
import { decodeClose, decodeGrant, decodePing, encodeClose, encodeGrant, encodePing, type Grant, lengthIsAllowed } from './control.ts';

const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
// As the codecs make them: deepEqual minds the prototype.
const plain = { noNullPrototype: true };
const total = fc.record({ records: count, bytes: count }, plain);
const grants: fc.Arbitrary<Grant> = fc.record(
  {
    runState: fc.constantFrom('running', 'paused'),
    totals: fc.array(total, { minLength: 1, maxLength: 255 }),
    diskWrites: fc.array(count, { maxLength: 64 }),
  },
  plain,
);

describe('control payloads', () => {
  it('CLOSE reads back, and has its one length', () => {
    fc.assert(
      fc.property(total, (each) => {
        const payload = encodeClose(each);
        assert.ok(lengthIsAllowed(recordType.close, payload.length, 1, 4));
        assert.deepEqual(decodeClose(payload), each);
      }),
    );
  });

  it('PING reads back, and has its one length', () => {
    const pings = fc.record(
      { sentAt: count, echo: count, echoAge: count, received: fc.array(count, { minLength: 1, maxLength: 255 }) },
      plain,
    );
    fc.assert(
      fc.property(pings, (ping) => {
        const payload = encodePing(ping);
        const channels = ping.received.length + 1;
        assert.ok(lengthIsAllowed(recordType.ping, payload.length, 0, channels));
        assert.ok(!lengthIsAllowed(recordType.ping, payload.length, 0, channels + 1));
        assert.deepEqual(decodePing(payload), ping);
      }),
    );
  });

  it('GRANT reads back, for its number of channels and no other', () => {
    fc.assert(
      fc.property(grants, (grant) => {
        const payload = encodeGrant(grant);
        const channels = grant.totals.length + 1;
        assert.ok(lengthIsAllowed(recordType.grant, payload.length, 0, channels));
        assert.deepEqual(decodeGrant(payload, channels), grant);
        assert.equal(decodeGrant(payload, channels + 1), undefined);
      }),
    );
  });

  it('GRANT by post-copy reads back, and is refused where it counts anything', () => {
    for (const runState of ['running', 'paused'] as const) {
      const grant: Grant = { runState, postcopy: true, totals: [{ records: 0, bytes: 0 }], diskWrites: [0] };
      const payload = encodeGrant(grant);
      assert.equal(payload.length, encodeGrant({ runState, totals: grant.totals, diskWrites: [0] }).length);
      assert.deepEqual(decodeGrant(payload, 2), grant);
      for (let at = 2; at < payload.length; at++) {
        const counting = Buffer.from(payload);
        counting[at] = 1;
        assert.equal(decodeGrant(counting, 2), undefined, `byte ${at}`);
      }
    }
  });

  it('GRANT is refused for every run state but two and their marks, a wrong number of disks, and a number of 2^53 or more', () => {
    const payload = encodeGrant({ runState: 'paused', totals: [{ records: 1, bytes: 2 }], diskWrites: [3] });
    const nothing = encodeGrant({ runState: 'paused', totals: [{ records: 0, bytes: 0 }], diskWrites: [0] });
    const changed = (at: number, value: number) => {
      const copy = Buffer.from(payload);
      copy[at] = value;
      return decodeGrant(copy, 2);
    };
    for (let state = 0; state < 256; state++) {
      assert.equal(changed(0, state) !== undefined, state === 1 || state === 2);
      assert.equal(decodeGrant(Buffer.concat([Buffer.of(state), nothing.subarray(1)]), 2) !== undefined, state >= 1 && state <= 4);
    }
    for (let disks = 0; disks < 256; disks++) assert.equal(changed(1, disks) !== undefined, disks === 1);
    for (const number of [2, 10, 18]) {
      assert.equal(changed(number + 1, 0x20), undefined);
      assert.equal(changed(number, 0x80), undefined);
    }
  });
});

describe('what is allowed where', () => {
  const lengths = [
    0,
    1,
    15,
    16,
    17,
    47,
    48,
    49,
    50,
    58,
    49 + 64 * 8,
    50 + 64 * 8,
    50 + 65 * 8,
    maxDataBytes,
    maxDataBytes + 1,
    2 ** 32 - 1,
  ];
  const channels = 4;
  const allowed = (type: number, channel: number) => lengths.filter((length) => lengthIsAllowed(type, length, channel, channels));

  it('is exactly the table of docs/protocol.md, for an attempt of four channels', () => {
    const data = lengths.filter((length) => length >= 1 && length <= maxDataBytes);
    for (let type = 0; type < 256; type++) {
      const onControl = allowed(type, 0);
      const onData = allowed(type, 3);
      if (type === recordType.data) assert.deepEqual([onControl, onData], [[], data]);
      else if (type === recordType.close) assert.deepEqual([onControl, onData], [[16], [16]]);
      else if (type === recordType.ping) assert.deepEqual([onControl, onData], [[48], []]);
      else if (type === recordType.running || type === recordType.aborted) assert.deepEqual([onControl, onData], [[0], []]);
      else if (type === recordType.grant) assert.deepEqual(onData, []);
      else assert.deepEqual([onControl, onData], [[], []], `type ${type}`);
    }
  });

  it('lets a GRANT have at most 64 disks, whole ones', () => {
    assert.deepEqual(allowed(recordType.grant, 0), [50, 58, 50 + 64 * 8]);
  });
});
