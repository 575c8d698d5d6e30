import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { uint } from '../testing/mini.ts';
import { readHeader, writeHeader } from './header.ts';

const headers = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  channel: fc.integer({ min: 0, max: 0xffff }),
  length: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  sequence: fc.integer({ min: 0, max: 2 ** 48 }),
});

describe('a record header', () => {
  it('is written as docs/protocol.md says, and reads back', () => {
    fc.assert(
      fc.property(headers, ({ type, channel, length, sequence }) => {
        const out = Buffer.alloc(16, 0xff);
        writeHeader(out, type, channel, length, sequence);
        assert.deepEqual(out, Buffer.concat([uint(type, 1), uint(0, 1), uint(channel, 2), uint(length, 4), uint(sequence, 8)]));
        assert.deepEqual(readHeader(out), { type, zero: 0, channel, length, sequence });
      }),
    );
  });

  it('reads the byte that has to be zero', () => {
    const out = Buffer.alloc(16);
    out[1] = 7;
    assert.equal(readHeader(out).zero, 7);
  });

  it('never takes a sequence number of 2^48 or more for a smaller one', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 48n, max: 2n ** 64n - 1n }), (sequence) => {
        const out = Buffer.alloc(16);
        out.writeBigUInt64BE(sequence, 8);
        assert.ok(readHeader(out).sequence >= 2 ** 48);
      }),
    );
  });

  it('is read into the object that is given', () => {
    const into = { type: 0, zero: 0, channel: 0, length: 0, sequence: 0 };
    assert.equal(readHeader(Buffer.alloc(16, 1), into), into);
    assert.equal(into.channel, 0x0101);
  });
});
