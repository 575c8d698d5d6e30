import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SealiftError } from '@sealift/contract';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('orders that cross a drain', () => {
  let site: Site;
  before(async () => {
    site = await Site.start();
  });
  after(() => site.close());
  const drain = (host: string) => site.client.drainHost({ params: { host }, body: {} });
  const undrain = (host: string) => site.client.undrainHost({ params: { host } });
  const maintenanceOf = async (host: string) => (await site.client.getHost({ params: { host } })).maintenance;

  it('each gets a clear answer while it goes on, and nothing is lost', async () => {
    await site.running('a');
    await site.running('b', {}, 'bravo');
    site.alpha.host.hold('copying');
    const order = await drain('alpha');
    await site.taskIs(order.id, ({ log }) => log.some(({ message }) => /moves to host bravo/.test(message)));
    const [moving] = await site.client.listMigrations({ query: { running: true } });
    assert.ok(moving);

    // The same host, the host that it drains to, and the VM that it moves.
    await assert.rejects(drain('alpha'), refused('wrong_state', new RegExp(`host alpha is being drained already, by task ${order.id}`)));
    await assert.rejects(drain('bravo'), refused('wrong_state', /host bravo cannot be drained now: not one .* nothing was changed/));
    assert.equal(await maintenanceOf('bravo'), 'none');
    const [params, body] = [{ vm: 'a' }, { to: 'bravo' }];
    await assert.rejects(
      site.client.migrateVm({ params, body }),
      refused('migrating', /VM a is already moving from host alpha to host bravo/),
    );
    await assert.rejects(site.client.removeVm({ params }), refused('migrating', /already moving/));
    await assert.rejects(site.client.stopVm({ params, body: { force: true } }), refused('migrating', /already moving/));
    // Its removal, its cluster's, and VMs that would come to it.
    const alpha = { host: 'alpha' };
    await assert.rejects(site.client.removeHost({ params: alpha }), refused('migrating', /needs host alpha/));
    await assert.rejects(site.client.removeCluster({ params: { cluster: 'default' } }), refused('wrong_state', /always there/));
    await assert.rejects(site.client.migrateVm({ params: { vm: 'b' }, body: { to: 'alpha' } }), (error) => error instanceof SealiftError);
    assert.equal((await site.client.getVm({ params: { vm: 'b' } })).host, 'bravo');

    site.alpha.host.release();
    assert.equal((await site.ended(order.id)).state, 'completed');
    const vms = (await site.client.listVms()).map(({ name, host, state }) => [name, host, state]);
    assert.deepEqual(vms, [
      ['a', 'bravo', 'running'],
      ['b', 'bravo', 'running'],
    ]);
  });

  it('of two crossing drains at the same moment one is carried out and the other told', async () => {
    await undrain('alpha');
    await site.client.migrateVm({ params: { vm: 'a' }, body: { to: 'alpha' } }).then(({ id }) => site.ended(id));
    const outcomes = await Promise.allSettled([drain('alpha'), drain('bravo')]);
    const accepted = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const told = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    assert.deepEqual([accepted.length, told.length], [1, 1]);
    assert.match(String(told[0]), /cannot be drained now/);
    assert.equal((await site.ended(accepted[0]?.id ?? '')).state, 'completed');
    const states = (await site.client.listVms()).map(({ name, state }) => [name, state]);
    assert.deepEqual(states, [
      ['a', 'running'],
      ['b', 'running'],
    ]);
  });

  it('undrain stops a drain that goes on, and a drain waits for who is on the way to its host', async () => {
    for (const host of ['alpha', 'bravo']) await undrain(host);
    const here = (await site.client.getVm({ params: { vm: 'a' } })).host;
    const [source, there] = here === 'alpha' ? [site.alpha, 'bravo'] : [site.bravo, 'alpha'];
    source.host.hold('copying');
    const first = await drain(here);
    await site.taskIs(first.id, ({ log }) => log.some(({ message }) => /moves to host/.test(message)));
    assert.equal((await undrain(here)).maintenance, 'none');
    const stopped = await site.ended(first.id);
    assert.equal(stopped.state, 'cancelled');
    assert.equal((await site.client.getVm({ params: { vm: 'a' } })).host, here);

    const { id } = await site.client.migrateVm({ params: { vm: 'a' }, body: { to: there } });
    const second = await drain(there);
    assert.equal(second.state, 'running');
    source.host.release();
    await site.ended(id);
    assert.equal((await site.ended(second.id)).state, 'completed');
    // It arrived at a host that is being drained, and left again.
    assert.equal((await site.client.getVm({ params: { vm: 'a' } })).host, here);
  });
});

describe('drains of several hosts at the same moment', () => {
  it('keep to the limit of their cluster together', async () => {
    const site = await Site.start({ more: ['charlie', 'delta'] });
    try {
      await site.client.setCluster({ params: { cluster: 'default' }, body: { limits: { perCluster: 1 } } });
      const from = ['alpha', 'bravo', 'charlie'];
      for (const host of from) for (const n of [1, 2]) await site.running(`${host}-${n}`, {}, host);
      const drained = Promise.all(
        from.map(async (host) => site.ended((await site.client.drainHost({ params: { host }, body: {} })).id)),
      ).then((tasks) => tasks.map(({ state }) => state));
      let most = 0;
      let over = false;
      void drained.finally(() => {
        over = true;
      });
      while (!over) most = Math.max(most, (await site.client.listMigrations({ query: { running: true } })).length);
      assert.deepEqual(await drained, ['completed', 'completed', 'completed']);
      assert.equal(most, 1);
    } finally {
      await site.close();
    }
  });
});
