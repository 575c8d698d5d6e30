import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StreamReassembly } from './reassembly.ts';

const collect = (pendingLimit?: number) => {
  const parts: Buffer[] = [];
  const stream = new StreamReassembly((bytes) => parts.push(Buffer.from(bytes)), pendingLimit);
  return { stream, text: () => Buffer.concat(parts).toString('latin1') };
};

/** Cuts that cover a stream of some length, with more cuts that overlap them at will, in any order. */
const delivery = fc.integer({ min: 1, max: 400 }).chain((length) =>
  fc.record({
    length: fc.constant(length),
    base: fc.oneof(fc.constantFrom(0, 0xffffffff, 0xffffff00, 0x7fffffff), fc.nat(0xffffffff)),
    order: fc
      .record({
        cuts: fc.uniqueArray(fc.integer({ min: 1, max: length }), { maxLength: 20 }),
        extra: fc.array(fc.tuple(fc.nat(length), fc.nat(60)), { maxLength: 20 }),
      })
      .chain(({ cuts, extra }) => {
        const edges = [0, ...cuts.filter((cut) => cut < length).sort((a, b) => a - b), length];
        const pieces = edges.slice(1).map((end, index): [number, number] => [edges[index] ?? 0, end]);
        const again = extra.map(([start, size]): [number, number] => [start, Math.min(length, start + size)]);
        return fc.shuffledSubarray([...pieces, ...again], { minLength: pieces.length + again.length });
      }),
  }),
);

test('any cutting, order, repetition and overlap gives the same stream, across the wrap of sequence numbers as well', () => {
  fc.assert(
    fc.property(delivery, ({ length, base, order }) => {
      const data = Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
      const { stream, text } = collect();
      stream.push((base - 1) >>> 0, Buffer.alloc(0), true);
      for (const [start, end] of order) stream.push((base + start) >>> 0, data.subarray(start, end));
      stream.end();
      assert.equal(text(), data.toString('latin1'));
      assert.deepEqual([stream.bytes, stream.missingBytes], [length, 0]);
      assert.equal(stream.repeatedBytes, order.reduce((sum, [start, end]) => sum + end - start, 0) - length);
    }),
    { numRuns: 2000 },
  );
});

test('bytes that never come are counted, and the rest goes on', () => {
  const { stream, text } = collect();
  stream.push(100, Buffer.from('ab'));
  stream.push(107, Buffer.from('hi'));
  stream.push(104, Buffer.from('ef'));
  stream.end();
  assert.equal(text(), 'abefhi');
  assert.deepEqual([stream.bytes, stream.missingBytes], [6, 3]);
});

test('memory is bounded: when too much waits, what it waits for is missing', () => {
  const { stream, text } = collect(4);
  stream.push(0, Buffer.from('a'));
  stream.push(2, Buffer.from('cde'));
  assert.equal(text(), 'a');
  stream.push(5, Buffer.from('fg'));
  assert.equal(text(), 'acdefg');
  stream.push(1, Buffer.from('b'));
  assert.deepEqual([text(), stream.missingBytes, stream.repeatedBytes], ['acdefg', 1, 1]);
});

test('of bytes that came twice the first are taken', () => {
  const { stream, text } = collect();
  stream.push(0, Buffer.from('ab'));
  stream.push(1, Buffer.from('XYZ'));
  assert.equal(text(), 'abYZ');
});

test('a stream of more than 4 GiB is followed', () => {
  const stream = new StreamReassembly(() => {});
  const block = Buffer.alloc(64 * 1024 * 1024);
  for (let i = 0; i < 80; i++) stream.push((0xfffff000 + i * block.length) >>> 0, block);
  assert.deepEqual([stream.bytes, stream.missingBytes, stream.repeatedBytes], [80 * block.length, 0, 0]);
});
