/** A migration that is cancelled at any moment before the grant leaves the guest running at the source, and nothing on either host. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { managerClient } from '../lab/src/lab/api.ts';
import { guestHost } from '../lab/src/lab/vm.ts';
import { Workload } from '../lab/src/workload/client.ts';
import type { Migration, Vm } from '../packages/contract/src/index.ts';
import { TestLab } from './support/lab.ts';

/** Far beyond what any of it takes: a hang ends in a failure that cleans up. */
const timeout = 100_000;

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

  const hosts = ['alpha', 'bravo'] as const;
  const left = () => hosts.map((host) => ({ ...lab.hostState(host), channelSockets: undefined }));

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
    // So slow that it is copied still when the command to cancel has started, also on a machine that has much else to do.
    [0, '3M'],
    [300, '3M'],
    [1500, '3M'],
    [4000, '3M'],
  ] as const) {
    it(`${delayMs} ms after the order`, { timeout }, async () => {
      const before = left();
      const ended = await cancelAfter(delayMs, bandwidth);
      assert.equal(ended.phase, 'cancelled', JSON.stringify(ended.failure));
      const vm = await lab.json<Vm>('vm', 'show', 'web');
      assert.deepEqual([vm.host, vm.state], ['alpha', 'running']);
      await lab.putAway(ended.id);
      assert.deepEqual(left(), before);
      // The agents have closed them; the kernel may still be taking leave.
      while (hosts.some((host) => lab.hostState(host).channelSockets > 0)) await sleep(20);
    });
  }

  it('at full speed, at moments all over the migration: cancelled, or too late and said so', async () => {
    // By the API: a command takes longer to start than such a migration takes.
    await using manager = managerClient(lab.paths.managerSocket);
    const move = async (to: string, cancelAfterMs?: number): Promise<{ ended: Migration; refused: boolean }> => {
      let ended = await manager.migrateVm({ params: { vm: 'web' }, body: { to } });
      const params = { migration: ended.id };
      const cancelling = cancelAfterMs === undefined ? false : sleep(cancelAfterMs).then(() => manager.cancelMigration({ params }));
      const refused = Promise.resolve(cancelling).then(
        () => false,
        () => true,
      );
      for await (const event of manager.watchMigration({ params })) ended = event;
      return { ended, refused: await refused };
    };
    const outcomes: string[] = [];
    for (let delayMs = 0; delayMs <= 1400; delayMs += 100) {
      const { ended, refused } = await move('bravo', delayMs);
      outcomes.push(ended.phase);
      const vm = await manager.getVm({ params: { vm: 'web' } });
      assert.equal(vm.state, 'running');
      if (ended.phase === 'cancelled') {
        assert.equal(vm.host, 'alpha');
        continue;
      }
      assert.equal(ended.phase, 'completed', JSON.stringify(ended.failure));
      assert.equal(refused, true, 'a cancel that was accepted cancels');
      assert.equal(vm.host, 'bravo');
      assert.equal((await move('alpha')).ended.phase, 'completed');
    }
    assert.ok(outcomes.includes('cancelled'), `some came in time: ${outcomes}`);
  });

  it('costs no write, and no page', async () => {
    const checker = await workload.checker();
    assert.equal(checker?.errors, 0);
    const load = await workload.finish();
    assert.ok(load.acknowledgedWrites > 0);
    assert.deepEqual([load.lostWrites, load.wrongValues], [0, 0]);
  });
});
