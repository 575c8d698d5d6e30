import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { headerBytes, maxSequence, recordOverhead, recordType } from '../constants.ts';
import { allocate, freeMemory } from '../native/memory.ts';
import { writeHeader } from '../record/header.ts';
import { MiniDirection } from '../testing/mini.ts';
import { Epochs } from './epochs.ts';

/** Seals an empty record of channel 1 under the next number. */
function sealNext(epochs: Epochs): Buffer {
  const memory = allocate(recordOverhead);
  try {
    writeHeader(memory.bytes, recordType.aborted, 1, 0, epochs.next());
    epochs.aead.seal(memory.address, headerBytes, 0, 0, 0, memory.address + headerBytes);
    return Buffer.from(memory.bytes);
  } finally {
    freeMemory(memory);
  }
}

/** Whether a record opens with the key and nonce that `epochs` has ready now. */
function opens(epochs: Epochs, record: Buffer): boolean {
  const memory = allocate(recordOverhead);
  try {
    memory.bytes.set(record);
    return epochs.aead.open(memory.address, headerBytes, 0, 0, 0, memory.address + headerBytes);
  } finally {
    freeMemory(memory);
  }
}

const secret = randomBytes(32);
const sealing = (start: number, bits: number) => new Epochs(Buffer.from(secret), 'seal', start, bits);
const opening = (start: number, bits: number) => new Epochs(Buffer.from(secret), 'open', start, bits);

describe("a direction's epochs", () => {
  it('take the secret: it is gone at the caller', () => {
    const given = randomBytes(32);
    new Epochs(given, 'seal').free();
    assert.deepEqual(given, Buffer.alloc(32));
  });

  it('agree at both ends, and with the second implementation, over many boundaries', () => {
    fc.assert(
      fc.property(fc.constantFrom(0, 1), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 40 }), (start, bits, count) => {
        const [seal, open] = [sealing(start, bits), opening(start, bits)];
        const mini = new MiniDirection(secret, { start, epochBits: bits });
        for (let i = 0; i < count; i++) {
          const record = sealNext(seal);
          assert.equal(open.next(), start + i);
          assert.ok(opens(open, record));
          assert.deepEqual(record, mini.seal(recordType.aborted, 1, Buffer.alloc(0)));
        }
        assert.equal(seal.sequence, start + count);
        seal.free();
        open.free();
      }),
      { numRuns: 40 },
    );
  });

  it('never use a nonce twice, nor the key of an epoch past its end', () => {
    const seal = sealing(0, 2);
    const open = opening(0, 2);
    const seen = new Set<string>();
    const old: { record: Buffer; nonce: Buffer }[] = [];
    for (let sequence = 0; sequence < 12; sequence++) {
      const record = sealNext(seal);
      const nonce = Buffer.from(seal.aead.nonce);
      seen.add(nonce.toString('hex'));
      open.next();
      assert.ok(opens(open, record));
      // What an epoch sealed does not open in a later one, even with its own nonce.
      for (const earlier of old.slice(0, sequence - (sequence % 4))) {
        open.aead.nonce.set(earlier.nonce);
        assert.ok(!opens(open, earlier.record));
      }
      old.push({ record, nonce });
    }
    assert.equal(seen.size, 12);
    seal.free();
    open.free();
  });

  it('do not open a record one off', () => {
    const [seal, open] = [sealing(0, 2), opening(0, 2)];
    const records = Array.from({ length: 9 }, () => sealNext(seal));
    for (let i = 0; i < 8; i++) {
      open.next();
      assert.ok(!opens(open, records[i + 1] ?? Buffer.alloc(32)));
    }
    seal.free();
    open.free();
  });

  it('put all 64 bits of the sequence number into the nonce', () => {
    const zero = sealing(0, 48);
    zero.next();
    const iv = Buffer.from(zero.aead.nonce);
    zero.free();
    for (const sequence of [1, 255, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, maxSequence - 1]) {
      const epochs = sealing(sequence, 49);
      assert.equal(epochs.next(), sequence);
      const counter = Buffer.alloc(12);
      counter.writeBigUInt64BE(BigInt(sequence), 4);
      assert.deepEqual(Buffer.from(epochs.aead.nonce), Buffer.from(iv.map((byte, i) => byte ^ (counter[i] ?? 0))));
      epochs.free();
    }
  });

  it('end at 2^48 with `limit`, and stay ended', () => {
    const epochs = sealing(maxSequence - 2, 49);
    assert.equal(epochs.next(), maxSequence - 2);
    assert.equal(epochs.next(), maxSequence - 1);
    assert.throws(() => epochs.next(), { code: 'limit' });
    assert.throws(() => epochs.next(), { code: 'limit' });
    epochs.free();
    epochs.free();
  });
});
