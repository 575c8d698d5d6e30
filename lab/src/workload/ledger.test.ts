import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from './ledger.ts';

const written = (count: number): Ledger => {
  const ledger = new Ledger('a', 10);
  for (let i = 0; i < count; i++) ledger.acknowledge(ledger.nextWrite().number);
  return ledger;
};

test('the acknowledged value is right, and nothing is right before the first write', () => {
  assert.deepEqual(written(35).examine(4, 'a:34'), { lost: 0, wrong: false });
  assert.deepEqual(written(0).examine(4, null), { lost: 0, wrong: false });
});

test('an older value and a missing one are lost writes, counted exactly', () => {
  assert.deepEqual(written(35).examine(4, 'a:14'), { lost: 2, wrong: false });
  assert.deepEqual(written(35).examine(4, null), { lost: 4, wrong: false });
});

test('a value of elsewhere or of the future is wrong', () => {
  for (const value of ['a:44', 'a:35', 'b:34', 'a:x', 'a', '', 34, undefined]) {
    assert.deepEqual(written(35).examine(4, value), { lost: 0, wrong: true }, String(value));
  }
});

test('a write whose answer was lost may be there or not', () => {
  const ledger = written(34);
  const { number, slot } = ledger.nextWrite();
  ledger.leaveUncertain(number);
  assert.deepEqual(ledger.examine(slot, 'a:34'), { lost: 0, wrong: false });
  assert.deepEqual(ledger.examine(slot, 'a:24'), { lost: 0, wrong: false });
  assert.deepEqual(ledger.examine(slot, 'a:14'), { lost: 1, wrong: false });
});
