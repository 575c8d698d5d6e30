import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { miniContext } from '../testing/mini.ts';
import { testAttempt } from '../testing/pair.ts';
import { type Attempt, contextHash, migrationId } from './context.ts';

const base = testAttempt({ migration: '0191f3a2-7c4d-7e8f-9a0b-1c2d3e4f5061', nonce: Buffer.alloc(8, 3) });

/** Every field of an attempt, changed. */
const changes: Record<string, Partial<Attempt>> = {
  protocolVersion: { protocolVersion: 2 },
  migration: { migration: '0191f3a2-7c4d-7e8f-9a0b-1c2d3e4f5062' },
  attempt: { attempt: 2 },
  nonce: { nonce: Buffer.alloc(8, 4) },
  suite: { suite: 'none' },
  sourceKeyHash: { sourceKeyHash: Buffer.alloc(32, 9) },
  destinationKeyHash: { destinationKeyHash: Buffer.alloc(32, 9) },
  channels: { channels: 5 },
  'limits.bandwidthBytesPerSecond': { limits: { ...base.limits, bandwidthBytesPerSecond: 1 } },
  'limits.downtimeMs': { limits: { ...base.limits, downtimeMs: 31 } },
  'limits.maxDowntimeMs': { limits: { ...base.limits, maxDowntimeMs: 301 } },
  'limits.deadlineMs': { limits: { ...base.limits, deadlineMs: 60_001 } },
  'limits.maxThrottlePercent': { limits: { ...base.limits, maxThrottlePercent: 81 } },
  'limits.postcopy': { limits: { ...base.limits, postcopy: true } },
  expiresAt: { expiresAt: 2_000_000_000_001 },
};

describe('the context hash', () => {
  it('is changed by every field, each in its own way', () => {
    // A field that is added to Attempt is to be added here.
    const fields = Object.keys(base).flatMap((key) =>
      key === 'limits' ? Object.keys(base.limits).map((limit) => `limits.${limit}`) : [key],
    );
    assert.deepEqual(Object.keys(changes).toSorted(), fields.toSorted());
    const hashes = [{}, ...Object.values(changes)].map((change) => contextHash({ ...base, ...change }).toString('hex'));
    assert.equal(new Set(hashes).size, hashes.length);
  });

  it('is changed by swapping the two hosts', () => {
    const swapped = { ...base, sourceKeyHash: base.destinationKeyHash, destinationKeyHash: base.sourceKeyHash };
    assert.notDeepEqual(contextHash(swapped), contextHash(base));
  });

  it('is what docs/protocol.md says, for any attempt', () => {
    const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    const attempts: fc.Arbitrary<Attempt> = fc.record({
      protocolVersion: fc.integer({ min: 1, max: 255 }),
      migration: fc.uuid(),
      attempt: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      nonce: fc.uint8Array({ minLength: 8, maxLength: 8 }),
      suite: fc.constantFrom('aes-256-gcm', 'none'),
      sourceKeyHash: hash,
      destinationKeyHash: hash,
      channels: fc.integer({ min: 2, max: 256 }),
      limits: fc.record({
        bandwidthBytesPerSecond: count,
        downtimeMs: count,
        maxDowntimeMs: count,
        deadlineMs: count,
        maxThrottlePercent: fc.integer({ min: 0, max: 99 }),
        postcopy: fc.boolean(),
      }),
      expiresAt: count,
    });
    fc.assert(fc.property(attempts, (attempt) => assert.deepEqual(contextHash(attempt), miniContext(attempt))));
  });

  const wrong: [field: string, change: Partial<Attempt>][] = [
    ['protocolVersion', { protocolVersion: 0 }],
    ['protocolVersion', { protocolVersion: 256 }],
    ['migration', { migration: '0191f3a2-7c4d-7e8f-9a0b-1c2d3e4f506' }],
    ['migration', { migration: '0191f3a2-7c4d-7e8f-9a0b-1c2d3e4f5061zz' }],
    ['attempt', { attempt: 0 }],
    ['attempt', { attempt: 2 ** 32 }],
    ['nonce', { nonce: Buffer.alloc(12) }],
    ['suite', { suite: 'rot13' as Attempt['suite'] }], // what a caller without types could pass
    ['sourceKeyHash', { sourceKeyHash: Buffer.alloc(31) }],
    ['destinationKeyHash', { destinationKeyHash: Buffer.alloc(33) }],
    ['channels', { channels: 1 }],
    ['channels', { channels: 257 }],
    ['limits.downtimeMs', { limits: { ...base.limits, downtimeMs: 0.5 } }],
    ['limits.maxDowntimeMs', { limits: { ...base.limits, maxDowntimeMs: -1 } }],
    ['limits.deadlineMs', { limits: { ...base.limits, deadlineMs: -1 } }],
    ['limits.maxThrottlePercent', { limits: { ...base.limits, maxThrottlePercent: 100 } }],
    ['limits.bandwidthBytesPerSecond', { limits: { ...base.limits, bandwidthBytesPerSecond: Number.NaN } }],
    ['expiresAt', { expiresAt: 2 ** 53 }],
  ];
  for (const [field, change] of wrong) {
    it(`is refused for ${field} out of its bounds: ${JSON.stringify(Object.values(change)[0])}`, () => {
      assert.throws(() => contextHash({ ...base, ...change }), { name: 'RangeError', message: field });
    });
  }
});

describe('a migration id', () => {
  it('is the same in upper case', () => {
    assert.deepEqual(migrationId(base.migration.toUpperCase()), migrationId(base.migration));
    assert.equal(migrationId(base.migration).toString('hex'), base.migration.replaceAll('-', ''));
  });
});
