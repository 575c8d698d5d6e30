import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { commandOf, endProcesses, isAlive, processId, startDetached } from './process.ts';

const setUp = async (t: { after: (action: () => Promise<void>) => void }) => {
  const folder = await mkdtemp(join(tmpdir(), 'process-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'log');
};

test('a detached process is ended, and what it said is in its log', async (t) => {
  const log = await setUp(t);
  const id = await startDetached('bash', ['-c', 'echo here; echo there >&2; exec sleep 600'], log);
  t.after(() => endProcesses([id], 0));
  while (commandOf(id.pid)?.[0] !== 'sleep');
  assert.equal(await readFile(log, 'utf8'), 'here\nthere\n');
  assert.equal(isAlive(id), true);
  await endProcesses([id]);
  assert.equal(isAlive(id), false);
  await endProcesses([id]);
});

test('one that does not heed SIGTERM is killed', async (t) => {
  const log = await setUp(t);
  const id = await startDetached('bash', ['-c', 'trap "" TERM; echo armed; while :; do sleep 0.1; done'], log);
  t.after(() => endProcesses([id], 0));
  while ((await readFile(log, 'utf8')) === '');
  await endProcesses([id], 100);
  assert.equal(isAlive(id), false);
});

test('a process id that another program has by now is left alone', async () => {
  const self = processId(process.pid);
  assert.ok(self);
  await endProcesses([{ ...self, startTime: '1' }], 0);
  assert.equal(isAlive(self), true);
});

test('a program that is not there is said', async (t) => {
  await assert.rejects(startDetached('/nowhere/at-all', [], await setUp(t)), /ENOENT/);
});
