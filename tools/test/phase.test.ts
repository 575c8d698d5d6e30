import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runPhase } from './phase.ts';

const fixture = (name: string): string => join(import.meta.dirname, 'fixtures', name);
const run = (files: string[], fileSeconds = 60) => runPhase({ name: 'trial', files, concurrency: 1, fileSeconds }, 'ignore');

test('a phase that passes has its tests counted and no problem', async () => {
  const { counts, problems } = await run([fixture('passes.ts')]);
  assert.deepEqual(problems, []);
  assert.equal(counts.tests, 2);
  assert.equal(counts.passed, 2);
});

test('a failing test fails the phase and the others still count', async () => {
  const { counts, problems } = await run([fixture('fails.ts'), fixture('passes.ts')]);
  assert.deepEqual(problems, [`trial: ${fixture('fails.ts')}: fails`]);
  assert.equal(counts.passed, 2);
});

test('a file that never ends is a failure, not a hang', async () => {
  const { counts, problems } = await run([fixture('stays-open.ts')], 2);
  assert.equal(counts.failed, 1);
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? '', /stays-open\.ts/);
});

test('a file without a test is a failure', async () => {
  const { problems } = await run([fixture('passes.ts'), fixture('empty.ts')]);
  assert.deepEqual(problems, [`trial: ${fixture('empty.ts')} has no test in it`]);
});

test('a file that does not exist is a failure', async () => {
  const { problems } = await run([fixture('gone.ts')]);
  assert.notDeepEqual(problems, []);
});
