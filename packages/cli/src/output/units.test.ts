import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatBytes, formatDuration, formatRate, formatTime, parseSize } from './units.ts';

test('sizes, rates, durations and times read as people write them', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 10 * 2 ** 20, 512 * 2 ** 20, 2 ** 41].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.00 KiB',
    '1.50 KiB',
    '10.0 MiB',
    '512 MiB',
    '2.00 TiB',
  ]);
  assert.deepEqual([0, 3.24, 112.4, 1250].map(formatRate), ['0.0 MB/s', '3.2 MB/s', '112 MB/s', '1.25 GB/s']);
  assert.deepEqual([0.5, 68.12, 3214, 75_000, 3_675_000].map(formatDuration), ['0.50 ms', '68.1 ms', '3.21 s', '1:15 min', '1:01:15 h']);
  assert.equal(formatTime(Date.UTC(2026, 10, 22, 13, 1, 2, 345)), '2026-11-22 13:01:02Z');
});

test('sizes are read with decimal and binary units, and nonsense is none', () => {
  assert.deepEqual(['1000', '500M', '500MB', '500 MB/s', '2Gi', '1.5g'].map(parseSize), [1000, 5e8, 5e8, 5e8, 2 ** 31, 1.5e9]);
  assert.deepEqual(['', 'M', '-1', '5X', '1e3', '5 i'].map(parseSize), Array(6).fill(undefined));
});

test('a whole number of bytes reads back as itself', () => {
  fc.assert(fc.property(fc.nat(), (count) => parseSize(String(count)) === count));
});
