import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Task } from '@sealift/contract';
import { eventsOf, FakeManager } from '../testing/fake-manager.ts';
import { sealiftAll, start } from '../testing/run.ts';
import { clear, completed, drainTask, host } from '../testing/samples.ts';
import { newEntries } from './render.ts';

const grown: Task = {
  ...drainTask,
  state: 'completed',
  progress: { done: 2, total: 2 },
  endedAt: drainTask.startedAt + 9000,
  log: [...drainTask.log, { at: drainTask.startedAt + 1, message: 'demo has arrived on bravo' }],
};

test('a drain is followed to its end: each line of its log once, and loudly what was not encrypted', async () => {
  const moved = { ...completed, ...clear, orderedAt: drainTask.startedAt + 1 };
  const older = { ...completed, ...clear, vm: 'older', orderedAt: drainTask.startedAt - 1 };
  const foreign = { ...moved, vm: 'foreign', id: '0190d3a2-7c1e-7a90-8f10-bbbbbbbbbbbb' };
  await using manager = await FakeManager.start({
    drainHost: () => drainTask,
    watchTask: () => eventsOf(drainTask, drainTask, grown),
    listTasks: () => [{ ...drainTask, kind: 'migrate', id: moved.id }],
    listMigrations: () => [foreign, moved, older],
  });
  const [followed, detached] = await sealiftAll(
    manager.url,
    ['host', 'drain', 'alpha', '--concurrent', '2', '--bandwidth', '500M'],
    ['host', 'drain', 'alpha', '--detach'],
  );
  assert.equal(followed?.status, 0);
  assert.equal(followed?.stderr.match(/demo leaves for bravo/g)?.length, 1);
  assert.match(followed?.stderr ?? '', /drain host alpha: running, 1 of 2\n[\s\S]*demo has arrived on bravo\n/);
  assert.match(
    followed?.stdout ?? '',
    /^CLEAR One VM was moved WITHOUT encryption:\n {2}demo {2}alpha → bravo: the order asked for it\nDone: drain/,
  );
  assert.match(JSON.stringify(manager.calls[0]?.body), /"concurrent":2,"limits":\{"bandwidthBytesPerSecond":500000000,/);
  assert.equal(detached?.status, 0);
  assert.match(detached?.stdout ?? '', new RegExp(`sealift task watch ${drainTask.id}\n.*sealift task cancel ${drainTask.id}\n$`));
});

test('how a task ended is in the status', async () => {
  const failure = { code: 'encryption_required', message: 'db must be sealed, and no host that is left can', advice: 'Update charlie.' };
  const ends: [Task, number, RegExp][] = [
    [{ ...grown, state: 'cancelled' }, 6, /^Cancelled: drain host alpha .*What was done stays done/],
    [{ ...grown, state: 'failed', failure }, 4, /^FAILED: drain host alpha .*db must be sealed.*\nUpdate charlie\.\n/],
    [{ ...grown, state: 'failed', failure: { ...failure, code: 'stalled' } }, 7, /stalled/],
  ];
  for (const [last, status, words] of ends) {
    await using manager = await FakeManager.start({ watchTask: () => eventsOf(last), listTasks: () => [] });
    const [ended] = await sealiftAll(manager.url, ['task', 'watch', last.id]);
    assert.equal(ended?.status, status);
    assert.match(ended?.stdout ?? '', words);
    assert.doesNotMatch(ended?.stderr ?? '', /fault|error/);
  }
});

test('Ctrl-C leaves a drain going on, cancels nothing, and says how to', async () => {
  await using manager = await FakeManager.start({
    drainHost: () => drainTask,
    undrainHost: () => host,
    watchTask: async function* () {
      yield drainTask;
      await new Promise(() => {});
    },
  });
  const { child, ended, said } = start(manager.url, ['host', 'drain', 'alpha']);
  await said('1 of 2');
  child.kill('SIGINT');
  const { status, stderr } = await ended;
  assert.equal(status, 130);
  assert.match(
    stderr,
    new RegExp(`left; the task goes on\\. .*sealift task watch ${drainTask.id} .*sealift task cancel ${drainTask.id}\n$`),
  );
  assert.deepEqual(
    manager.calls.map(({ route }) => route),
    ['drainHost', 'watchTask'],
  );
});

test('what is new in a log that forgets its oldest', () => {
  const log = [1, 2, 3].map((at) => ({ at, message: 'same' }));
  assert.deepEqual(newEntries(log, undefined), log);
  assert.deepEqual(newEntries(log, { at: 2, message: 'same' }), [log[2]]);
  assert.deepEqual(newEntries(log, log[2]), []);
  assert.deepEqual(newEntries(log, { at: 0, message: 'forgotten' }), log);
});
