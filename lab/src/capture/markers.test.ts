import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { MarkerSearch, MarkerSet, markerLength } from './markers.ts';

test('markers are found however the stream is cut', () => {
  const set = new MarkerSet(6);
  const [a = '', b = '', c = ''] = set.markers;
  // The prefix alone, a marker cut short, and two that overlap by what begins like another must not mislead.
  const stream = Buffer.from(`${set.prefix}--${a}x${b.slice(0, 20)}${set.prefix}${c}${set.prefix.slice(0, 5)}`, 'latin1');
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: stream.length }), { maxLength: 200 }), (cuts) => {
      const seen = new Set<string>();
      const search = new MarkerSearch(set, seen);
      const edges = [0, ...cuts.sort((x, y) => x - y), stream.length];
      for (let i = 1; i < edges.length; i++) search.push(stream.subarray(edges[i - 1], edges[i]));
      assert.deepEqual(seen, new Set([a, c]));
    }),
    { numRuns: 1000 },
  );
});

test('a byte at a time', () => {
  const set = new MarkerSet(2);
  const seen = new Set<string>();
  const search = new MarkerSearch(set, seen);
  for (const byte of Buffer.from([...set.markers].join(''))) search.push(Buffer.of(byte));
  assert.equal(seen.size, 2);
});

test('noise has none, and sets differ', () => {
  const set = new MarkerSet(100);
  const seen = new Set<string>();
  new MarkerSearch(set, seen).push(randomBytes(1 << 20));
  assert.equal(seen.size, 0);
  assert.notEqual(set.prefix, new MarkerSet(1).prefix);
  for (const text of set.texts) assert.equal(text.length, 2 * markerLength);
});
