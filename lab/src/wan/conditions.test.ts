import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Change, changed, cleanLine, formatConditions, parseChange, queueOf } from './conditions.ts';

test('conditions are read as people write them', () => {
  assert.deepEqual(parseChange('rtt=0.5ms,rate=2.5gbit,loss=0.1%,jitter=20ms,reorder=1%,queue=6mb,down'), {
    rttMs: 0.5,
    bitsPerSecond: 2.5e9,
    loss: 0.001,
    jitterMs: 20,
    reorder: 0.01,
    queueBytes: 6e6,
    down: true,
  });
  assert.deepEqual(parseChange('rtt=500us,queue=512KiB,up'), { rttMs: 0.5, queueBytes: 524_288, down: false });
});

test('what cannot be conditions is refused, and named', () => {
  const wrong = [
    '',
    'rtt',
    'rtt=50',
    'rtt=-1ms',
    'rtt=50ms=1',
    'rate=0gbit',
    'loss=101%',
    'loss=0.1',
    'queue=2gbit',
    'speed=1gbit',
    'up,',
    'toString=1ms',
  ];
  for (const text of wrong)
    assert.throws(() => parseChange(text), { code: 'invalid_request', message: /a line is described by .*rtt=50ms/ });
  assert.throws(() => parseChange('rtt=50ms,loss=2'), /"loss=2" is none/);
});

test('what is written is read as the same', () => {
  const change = fc.record<Change>({
    rttMs: fc.nat(10_000),
    jitterMs: fc.nat(10_000),
    bitsPerSecond: fc.integer({ min: 1, max: 100_000 }).map((megabits) => megabits * 1e6),
    loss: fc.nat(1000).map((thousandth) => thousandth / 1000),
    reorder: fc.nat(1000).map((thousandth) => thousandth / 1000),
    queueBytes: fc.option(fc.nat(1e9), { nil: undefined }),
    down: fc.boolean(),
  });
  fc.assert(
    fc.property(change, (wanted) => {
      const conditions = changed(cleanLine, wanted);
      const again = changed(cleanLine, parseChange(formatConditions(conditions)));
      for (const [name, value] of Object.entries(conditions)) {
        const read = again[name as keyof typeof again]; // a name of conditions, as Object.entries does not say
        if (typeof value === 'number') assert.ok(Math.abs(Number(read) - value) <= 1e-9 * value, name);
      }
      assert.equal(again.down, conditions.down);
      assert.equal('queueBytes' in again, 'queueBytes' in conditions);
    }),
  );
});

test('the queue follows rate and round trip until it is set', () => {
  const far = changed(cleanLine, { rttMs: 150 });
  assert.equal(queueOf(far), 18_750_000);
  assert.equal(queueOf(changed(far, { rttMs: 0.5 })), 1_514_000);
  const set = changed(far, { queueBytes: 1000 });
  assert.equal(queueOf(changed(set, { rttMs: 0.5 })), 1000);
});
