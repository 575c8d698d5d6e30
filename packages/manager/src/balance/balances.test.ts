import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('a balance', () => {
  let site: Site;
  before(async () => {
    site = await Site.start({ tuning: { autoBalanceMs: 50 } });
    for (const vm of ['a', 'b', 'c']) await site.running(vm, { memoryMiB: 1024 });
    await site.client.setCluster({ params: { cluster: 'default' }, body: { balance: { restMs: 0 } } });
  });
  after(() => site.close());
  const params = { cluster: 'default' };
  afterEach(async () => {
    site.alpha.host.release();
    await site.client.setCluster({ params, body: { balance: { auto: false } } });
    for (const host of ['alpha', 'bravo']) await site.client.undrainHost({ params: { host } });
    for (const { id } of await site.client.listTasks({ query: { state: 'running' } })) await site.ended(id);
    // All on alpha again.
    for (const { name, host } of await site.client.listVms()) {
      if (host === 'alpha') continue;
      await site.ended((await site.client.migrateVm({ params: { vm: name }, body: { to: 'alpha' } })).id);
    }
  });
  const onAlpha = async () => (await site.client.listVms({ query: { host: 'alpha' } })).length;
  /** The planner goes by reports: waits until it sees the imbalance. */
  const proposed = async () => {
    for (;;) {
      const plan = await site.client.planBalance({ params });
      if (plan.moves.length > 0) return plan;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  it('carries out what was proposed, and then has nothing to do', async () => {
    const plan = await proposed();
    const task = await site.ended((await site.client.balanceCluster({ params })).id);
    const moves = plan.moves.length;
    assert.deepEqual([task.kind, task.state, task.progress], ['balance', 'completed', { done: moves, total: moves }]);
    assert.equal(await onAlpha(), 3 - moves);
    const parts = await site.client.listTasks({ query: { parent: task.id } });
    assert.deepEqual(parts.map(({ subject }) => subject.vm).sort(), plan.moves.map(({ vm }) => vm).sort());
  });

  it('is one at a time of a cluster, can be cancelled, and goes on after a restart', async () => {
    await proposed();
    site.alpha.host.hold('copying');
    const { id } = await site.client.balanceCluster({ params });
    await assert.rejects(site.client.balanceCluster({ params }), refused('wrong_state', new RegExp(`balanced already, by task ${id}`)));
    await site.taskIs(id, ({ log }) => log.some(({ message }) => /moves to host bravo/.test(message)));
    for (const migration of await site.client.listMigrations({ query: { running: true } })) await site.reaches(migration.id, 'connecting');
    await site.stopManager();
    await site.startManager();
    await assert.rejects(site.client.balanceCluster({ params }), refused('wrong_state', /balanced already/));
    await site.client.cancelTask({ params: { task: id } });
    const task = await site.ended(id);
    assert.equal(task.state, 'cancelled');
    assert.equal(await onAlpha(), 3);
    assert.equal((await site.client.listTasks({ query: { parent: id } })).length, 1);
  });

  it('begins by itself where the cluster is set so, and leaves out hosts in maintenance', async () => {
    await proposed();
    const drained = await site.client.drainHost({ params: { host: 'bravo' }, body: {} });
    assert.equal((await site.ended(drained.id)).state, 'completed');
    const none = await site.ended((await site.client.balanceCluster({ params })).id);
    assert.deepEqual([none.state, none.progress], ['completed', { done: 0, total: 0 }]);
    assert.equal(await onAlpha(), 3);
    await site.client.undrainHost({ params: { host: 'bravo' } });
    await site.client.setCluster({ params, body: { balance: { auto: true } } });
    for await (const { type, subject, message } of site.client.watchEvents({ lastEventId: 0 })) {
      if (type === 'task.ended' && subject.cluster === 'default' && /by itself: completed/.test(message)) break;
    }
    assert.ok((await onAlpha()) < 3);
  });
});
