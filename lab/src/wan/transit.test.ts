import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Arrivals, Ring } from './transit.ts';

it('what the ring gives out never overlaps, in whatever order it comes back, and all of it is to be had again', () => {
  const step = fc.record({ bytes: fc.integer({ min: 1, max: 3000 }), free: fc.nat(), frees: fc.nat(2) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.option(fc.integer({ min: 3000, max: 8192 })), (steps, limit) => {
      const size = 8192;
      const ring = new Ring(size);
      if (limit !== null) ring.limit(limit);
      const blocks: { at: number; end: number; block: number }[] = [];
      for (const { bytes, free, frees } of steps) {
        const at = ring.reserve(3000);
        if (at >= 0) {
          assert.ok(at + 3000 <= size);
          for (const other of blocks) assert.ok(at + 3000 <= other.at || at >= other.end, 'overlaps');
          blocks.push({ at, end: at + bytes, block: ring.keep(bytes) });
        }
        for (let count = 0; count < frees; count++) {
          const [back] = blocks.splice(free % Math.max(1, blocks.length), 1);
          if (back) ring.free(back.block);
        }
      }
      for (const { block } of blocks) ring.free(block);
      assert.equal(ring.reserve(size), 0);
    }),
  );
});

it('a ring keeps track of many small blocks', () => {
  const ring = new Ring(64 * 5000);
  const blocks = Array.from({ length: 5000 }, () => {
    assert.ok(ring.reserve(64) >= 0);
    return ring.keep(1);
  });
  assert.equal(ring.reserve(64), -1);
  for (const block of blocks.toReversed()) ring.free(block);
  assert.equal(ring.reserve(64), 0);
});

it('what is on its way comes out as it went in, however much', () => {
  const arrivals = new Arrivals();
  const taken: number[][] = [];
  assert.equal(arrivals.due, Number.POSITIVE_INFINITY);
  const put = (from: number, to: number) => {
    for (let index = from; index < to; index++) arrivals.put(index, index * 64, index + 1, index + 2);
  };
  put(0, 900);
  for (let index = 0; index < 800; index++) arrivals.take((...packet) => taken.push(packet));
  put(900, 5000);
  assert.equal(arrivals.due, 800);
  while (arrivals.due < Number.POSITIVE_INFINITY) arrivals.take((...packet) => taken.push(packet));
  assert.deepEqual(
    taken,
    Array.from({ length: 5000 }, (_, index) => [index * 64, index + 1, index + 2]),
  );
});
