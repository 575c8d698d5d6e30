import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Migration, SealiftError } from '@sealift/contract';
import { completed, copying, ordered } from '../testing/samples.ts';
import { follow } from './follow.ts';

/** Answers each watching with the next stream; an error in one breaks it off there. */
const streams = (...all: (Migration | Error)[][]) => ({
  async *watchMigration(): AsyncGenerator<Migration> {
    for (const each of all.shift() ?? []) {
      if (each instanceof Error) throw each;
      yield each;
    }
  },
});

const collect = async (source: ReturnType<typeof streams>, options = {}): Promise<string[]> => {
  const phases: string[] = [];
  for await (const { phase } of follow(source, ordered.id, { pauseMs: 1, ...options })) phases.push(phase);
  return phases;
};

test('ends with the final state', async () => {
  assert.deepEqual(await collect(streams([ordered, copying, completed])), ['preparing', 'copying', 'completed']);
});

test('goes on where the manager was away, and says so once', async () => {
  const said: string[] = [];
  const source = streams(
    [ordered, new TypeError('terminated')],
    [new SealiftError('manager_unreachable', 'refused')],
    [copying],
    [completed],
  );
  const phases = await collect(source, { onLost: (error: Error) => said.push(error.message) });
  assert.deepEqual(phases, ['preparing', 'copying', 'completed']);
  assert.equal(said.length, 2, 'lost after the first and after the third stream');
});

test('gives up where the manager does not come back, and at once where it was never there', async () => {
  await assert.rejects(collect(streams([ordered]), { retries: 1 }), { code: 'manager_unreachable' });
  await assert.rejects(collect(streams([new SealiftError('manager_unreachable', 'refused')])), { code: 'manager_unreachable' });
});

test("the manager's own answer stands", async () => {
  await assert.rejects(collect(streams([ordered], [new SealiftError('not_found', 'no such migration')])), { code: 'not_found' });
});

test('leaving ends it', async () => {
  const leaving = new AbortController();
  const states = follow(streams([ordered], []), ordered.id, { signal: leaving.signal });
  await states.next();
  leaving.abort(new Error('left'));
  await assert.rejects(states.next(), /left/);
});
