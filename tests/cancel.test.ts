/** A migration that is cancelled at any moment before the grant leaves the guest running at the source, and nothing on either host. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { guestHost } from '../lab/src/lab/vm.ts';
import { Workload } from '../lab/src/workload/client.ts';
import type { Migration, Vm } from '../packages/contract/src/index.ts';
import { TestLab } from './support/lab.ts';

describe('cancelling a migration of a guest under load', () => {
  let lab: TestLab;
  let workload: Workload;

  before(async () => {
    lab = await TestLab.up();
    workload = new Workload({ namespace: lab.plan.client.namespace, host: guestHost });
    for (;;) {
      if (
        await workload.checker().then(
          () => true,
          () => false,
        )
      )
        break; // Redis answers
      await sleep(200);
    }
    await workload.start();
  });

  after(async () => {
    await workload?.stop();
    await lab?.[Symbol.asyncDispose]();
  });

  /** @param bandwidth keeps it copying long enough; without it, it runs as fast as it can */
  const cancelAfter = async (delayMs: number, bandwidth?: string): Promise<Migration> => {
    const ordered = await lab.json<Migration>(
      'vm',
      'migrate',
      'web',
      '--to',
      'bravo',
      '--detach',
      ...(bandwidth ? ['--bandwidth', bandwidth] : []),
    );
    await sleep(delayMs);
    const cancel = await lab.sealift('migration', 'cancel', ordered.id);
    for (;;) {
      const now = await lab.json<Migration>('migration', 'show', ordered.id);
      if (now.endedAt !== undefined) {
        // Too late is an answer, and then it is said.
        if (now.phase === 'completed') assert.notEqual(cancel.status, 0, 'a cancel that was accepted cancels');
        return now;
      }
      await sleep(50);
    }
  };

  for (const [delayMs, bandwidth] of [
    [0, '10M'],
    [300, '10M'],
    [1500, '10M'],
    [4000, '10M'],
  ] as const) {
    it(`${delayMs} ms after the order`, async () => {
      const before = { alpha: lab.hostState('alpha'), bravo: lab.hostState('bravo') };
      const ended = await cancelAfter(delayMs, bandwidth);
      assert.equal(ended.phase, 'cancelled', JSON.stringify(ended.failure));
      const vm = await lab.json<Vm>('vm', 'show', 'web');
      assert.deepEqual([vm.host, vm.state], ['alpha', 'running']);
      assert.deepEqual({ alpha: lab.hostState('alpha'), bravo: lab.hostState('bravo') }, before);
    });
  }

  it('at full speed, at moments all over the migration: cancelled, or too late and said so', async () => {
    let cancelled = 0;
    for (let delayMs = 0; delayMs <= 1400; delayMs += 200) {
      const ended = await cancelAfter(delayMs);
      const vm = await lab.json<Vm>('vm', 'show', 'web');
      assert.equal(vm.state, 'running');
      if (ended.phase === 'cancelled') {
        cancelled++;
        assert.equal(vm.host, 'alpha');
        continue;
      }
      assert.equal(ended.phase, 'completed', JSON.stringify(ended.failure));
      assert.equal(vm.host, 'bravo');
      const back = await lab.sealift('vm', 'migrate', 'web', '--to', 'alpha');
      assert.equal(back.status, 0, back.stderr);
    }
    assert.ok(cancelled > 0, 'some came in time');
  });

  it('costs no write, and no page', async () => {
    const checker = await workload.checker();
    assert.equal(checker?.errors, 0);
    const load = await workload.finish();
    assert.ok(load.acknowledgedWrites > 0);
    assert.deepEqual([load.lostWrites, load.wrongValues], [0, 0]);
  });
});
