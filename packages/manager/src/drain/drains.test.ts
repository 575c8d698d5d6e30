import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { SealiftError } from '@sealift/contract';
import { definitionOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('a drain', () => {
  let site: Site;
  before(async () => {
    site = await Site.start({ more: ['charlie'] });
  });
  after(() => site.close());
  /** Everything as before, for the next test. */
  afterEach(async () => {
    for (const { host } of site.agents) {
      host.failures.clear();
      host.release();
    }
    await shrink(4096);
    for (const { name } of await site.client.listHosts()) await site.client.undrainHost({ params: { host: name } });
    for (const { id } of await site.client.listTasks({ query: { state: 'running' } })) await site.ended(id);
    for (const { name } of await site.client.listVms()) {
      await site.client.stopVm({ params: { vm: name }, body: { force: true } });
      await site.client.removeVm({ params: { vm: name } });
    }
  });
  /** So much memory at every host but alpha, and the manager knows. */
  const shrink = async (totalMiB: number) => {
    for (const { host } of [site.bravo, ...site.more]) {
      host.traits.totalMiB = totalMiB;
      const known = async () => (await site.client.getHost({ params: { host: host.name } })).report?.memory.total;
      while ((await known()) !== totalMiB * 1024 * 1024) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const drain = (host: string, body = {}) => site.client.drainHost({ params: { host }, body });
  const maintenanceOf = async (host: string) => (await site.client.getHost({ params: { host } })).maintenance;
  const hostsOf = async () => Object.fromEntries((await site.client.listVms()).map(({ name, host }) => [name, host]));
  const said = (log: readonly { message: string }[]) => log.map(({ message }) => message).join('\n');

  it('moves every VM off, leaves stopped ones, and ends in maintenance, where nothing new is placed', async () => {
    for (const vm of ['a', 'b', 'c']) await site.running(vm);
    await site.client.createVm({ body: { host: 'alpha', definition: definitionOf('off') } });
    const order = await drain('alpha');
    assert.deepEqual(
      [order.kind, order.title, order.state, order.subject],
      ['drain', 'drain host alpha', 'running', { host: 'alpha', cluster: 'default' }],
    );
    const task = await site.ended(order.id);
    assert.deepEqual([task.state, task.progress, task.failure], ['completed', { done: 3, total: 3 }, undefined]);
    assert.equal(await maintenanceOf('alpha'), 'maintenance');
    const { off, ...moved } = await hostsOf();
    assert.equal(off, 'alpha');
    assert.ok(Object.values(moved).every((host) => host !== 'alpha'));

    const parts = await site.client.listTasks({ query: { parent: order.id } });
    assert.deepEqual(
      parts.map(({ kind, state, progress }) => [kind, state, progress]),
      Array.from({ length: 3 }, () => ['migrate', 'completed', { done: 100, total: 100 }]),
    );
    assert.match(said(task.log), /VM a has moved to host/);
    assert.match(task.log[0]?.message ?? '', /^3 VMs are to leave host alpha, and 0 cannot/);
    await assert.rejects(
      site.client.createVm({ body: { host: 'alpha', definition: definitionOf('new') } }),
      refused('wrong_state', /host alpha is in maintenance: VM new is not created there.*sealift host undrain alpha/),
    );
    await assert.rejects(site.client.startVm({ params: { vm: 'off' } }), refused('wrong_state', /in maintenance: VM off is not started/));
    const back = await site.client.undrainHost({ params: { host: 'alpha' } });
    assert.equal(back.maintenance, 'none');
    await site.client.startVm({ params: { vm: 'off' } });
  });

  it('holds to the limits of host and cluster and its own, whoever else moves VMs', async () => {
    await site.client.setCluster({ params: { cluster: 'default' }, body: { limits: { perHost: 2 } } });
    for (const vm of ['a', 'b', 'c', 'd']) await site.running(vm);
    site.alpha.host.hold('copying');
    await site.client.migrateVm({ params: { vm: 'd' }, body: { to: 'bravo' } });
    const order = await drain('alpha', { concurrent: 3 });
    await site.taskIs(order.id, ({ log }) => /VM . moves to host/.test(said(log)));
    // The one that a person ordered and one of the drain's are all that the host may have.
    const running = () => site.client.listMigrations({ query: { running: true, host: 'alpha' } });
    let most = 0;
    for (let look = 0; look < 5; look++) {
      most = Math.max(most, (await running()).length);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    assert.equal(most, 2);
    site.alpha.host.release();
    assert.equal((await site.ended(order.id)).state, 'completed');
    await site.client.setCluster({ params: { cluster: 'default' }, body: { limits: {} } });
    assert.ok(Object.values(await hostsOf()).every((host) => host !== 'alpha'));
  });

  it('tries elsewhere when a move fails, and says so', async () => {
    await site.running('a');
    const { moves } = await site.client.planDrain({ params: { host: 'alpha' }, body: {} });
    const first = moves[0]?.to;
    site.agents
      .find(({ host }) => host.name === first)
      ?.host.failures.set('incoming', new SealiftError('hypervisor', 'QEMU did not start'));
    const task = await site.ended((await drain('alpha')).id);
    assert.equal(task.state, 'completed', said(task.log));
    assert.match(said(task.log), new RegExp(`VM a has not moved to host ${first} \\(failed\\): .*did not start`));
    const [vm] = await site.client.listVms();
    assert.notEqual(vm?.host, first);
    assert.notEqual(vm?.host, 'alpha');
  });

  it('gives up a VM after bounded attempts, each with a reason; it stays, and so does draining', async () => {
    for (const agent of [site.bravo, ...site.more])
      agent.host.failures.set('incoming', new SealiftError('hypervisor', 'QEMU did not start'));
    await site.running('a');
    const task = await site.ended((await drain('alpha')).id);
    assert.equal(task.state, 'failed');
    assert.match(task.failure?.message ?? '', /one VM stays on host alpha. VM a: it was tried 3 times, and the last time: .*did not start/);
    assert.match(task.failure?.advice ?? '', /Nothing new is placed on host alpha.*sealift host undrain alpha/);
    assert.equal((await site.client.listTasks({ query: { parent: task.id } })).length, 3);
    assert.equal(await maintenanceOf('alpha'), 'draining');
    assert.deepEqual(await hostsOf(), { a: 'alpha' });
    assert.equal((await site.client.getVm({ params: { vm: 'a' } })).state, 'running');
  });

  it('is refused where not one VM could leave, and then nothing has changed; where some can, they do', async () => {
    await site.running('big', { memoryMiB: 2048 });
    await shrink(1024);
    await assert.rejects(
      drain('alpha'),
      refused('wrong_state', /host alpha cannot be drained now: not one .* nothing was changed. VM big: /),
    );
    assert.equal(await maintenanceOf('alpha'), 'none');
    await site.running('small');
    const task = await site.ended((await drain('alpha')).id);
    assert.equal(task.state, 'failed');
    assert.match(task.failure?.message ?? '', /one VM stays on host alpha. VM big: /);
    const hosts = await hostsOf();
    assert.deepEqual([hosts['big'], hosts['small'] === 'alpha'], ['alpha', false]);
  });

  it('is cancelled: what had not been granted stays, the rest arrives, the host serves again', async () => {
    for (const vm of ['a', 'b']) await site.running(vm);
    site.alpha.host.hold('copying');
    const order = await drain('alpha', { concurrent: 1 });
    await site.taskIs(order.id, ({ log }) => /VM . moves to host/.test(said(log)));
    const [running] = await site.client.listMigrations({ query: { running: true } });
    assert.ok(running);
    await site.reaches(running.id, 'connecting');
    assert.equal((await site.client.cancelTask({ params: { task: order.id } })).cancellable, false);
    const task = await site.ended(order.id);
    assert.equal(task.state, 'cancelled', said(task.log));
    assert.deepEqual(await hostsOf(), { a: 'alpha', b: 'alpha' });
    assert.equal(await maintenanceOf('alpha'), 'none');
    assert.equal((await site.client.getMigration({ params: { migration: running.id } })).phase, 'cancelled');
    await assert.rejects(site.client.cancelTask({ params: { task: order.id } }), refused('wrong_state', /already ended: cancelled/));
  });

  it('goes on where it was when the manager comes back, and moves nothing twice', async () => {
    for (const vm of ['a', 'b', 'c', 'd']) await site.running(vm);
    site.alpha.host.hold('copying');
    const order = await drain('alpha', { concurrent: 2 });
    await site.taskIs(order.id, ({ log }) => said(log).split(' moves to host ').length > 2);
    for (const { id } of await site.client.listMigrations({ query: { running: true } })) await site.reaches(id, 'connecting');
    await site.stopManager();
    await site.startManager();
    assert.equal(await maintenanceOf('alpha'), 'draining');
    assert.equal((await site.client.getTask({ params: { task: order.id } })).state, 'running');
    await assert.rejects(drain('alpha'), refused('wrong_state', /being drained already, by task/));
    site.alpha.host.release();
    const task = await site.ended(order.id);
    assert.deepEqual([task.state, task.progress], ['completed', { done: 4, total: 4 }], said(task.log));
    const parts = await site.client.listTasks({ query: { parent: order.id } });
    assert.deepEqual(parts.map(({ subject }) => subject.vm).sort(), ['a', 'b', 'c', 'd']);
    assert.equal(site.alpha.host.calls.filter((call) => call === 'outgoing').length, new Set(site.alpha.host.attempts.keys()).size);
    assert.equal(await maintenanceOf('alpha'), 'maintenance');
  });

  it('waits for a host that falls silent, cannot lose it to a removal, and ends when it is back', async () => {
    // Both of the other hosts have all the migrations that they may have.
    await site.client.setCluster({ params: { cluster: 'default' }, body: { limits: { perHost: 1 } } });
    await site.running('busy', {}, 'bravo');
    await site.running('a');
    site.bravo.host.hold('copying');
    const { id } = await site.client.migrateVm({ params: { vm: 'busy' }, body: { to: 'charlie' } });
    const order = await drain('alpha');
    await site.alpha.stop();
    await site.taskIs(order.id, ({ log }) => /it waits: host alpha .* does not answer/.test(said(log)));
    await assert.rejects(site.client.removeHost({ params: { host: 'alpha' } }), refused('wrong_state', /is being drained by task/));
    site.bravo.host.release();
    assert.equal((await site.ended(id)).state, 'completed');
    await site.alpha.start();
    const task = await site.ended(order.id);
    await site.client.setCluster({ params: { cluster: 'default' }, body: { limits: {} } });
    assert.equal(task.state, 'completed', said(task.log));
    assert.notEqual((await hostsOf())['a'], 'alpha');
  });
});
