import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Undo } from './undo.ts';

const silent = { warn() {} };

test('a failing action is undone last step first, and its error is kept', async () => {
  const order: string[] = [];
  const failure = new Error('third step');
  await assert.rejects(
    Undo.around(silent, async (undo) => {
      undo.push('undo the first', () => order.push('first'));
      undo.push('undo the second', async () => order.push('second'));
      throw failure;
    }),
    failure,
  );
  assert.deepEqual(order, ['second', 'first']);
});

test('success undoes nothing', async () => {
  let undone = false;
  const value = await Undo.around(silent, async (undo) => {
    undo.push('undo', () => {
      undone = true;
    });
    return 7;
  });
  assert.equal(value, 7);
  assert.equal(undone, false);
});

test('a step that cannot be undone is named and does not stop the others', async () => {
  const logged: string[] = [];
  const undo = new Undo({ warn: (_, message) => logged.push(message) });
  let first = false;
  undo.push('remove the first', () => {
    first = true;
  });
  undo.push('remove the second', () => {
    throw new Error('busy');
  });
  assert.deepEqual(await undo.run(), ['remove the second']);
  assert.equal(first, true);
  assert.deepEqual(logged, ['could not remove the second']);
  assert.deepEqual(await undo.run(), []);
});
