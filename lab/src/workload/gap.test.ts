import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gap } from './gap.ts';

test('the longest time between two answers, or since the last', () => {
  const gap = new Gap(100);
  gap.answered(104);
  gap.answered(134);
  gap.answered(138);
  assert.equal(gap.longest(140), 30);
  assert.equal(gap.longest(200), 62);
});

test('a silence that began before a reset counts whole, one that ended before it not at all', () => {
  const gap = new Gap(0);
  gap.answered(500);
  gap.reset();
  assert.equal(gap.longest(510), 10);
  gap.reset();
  gap.answered(600);
  assert.equal(gap.longest(600), 100);
});
