import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('orders without a destination, and dry runs', { timeout: 120_000 }, () => {
  let site: Site;
  before(async () => {
    site = await Site.start();
    await site.running('redis');
  });
  after(() => site.close());
  const params = { vm: 'redis' };
  const plan = (body = {}) => site.client.planMigration({ params, body });

  it('shows what would happen, and changes nothing', async () => {
    const made = await plan();
    assert.deepEqual([made.vm, made.from, made.to, made.suite, made.multifdChannels], ['redis', 'alpha', 'bravo', 'aes-256-gcm', 2]);
    assert.match(made.why, /host bravo is the only one of 1 that will do/);
    assert.equal(made.checks.length, 14);
    assert.ok(made.checks.every(({ verdict }) => verdict !== 'fail'));
    assert.deepEqual(await site.client.listMigrations(), []);
    assert.ok(!site.bravo.host.calls.includes('offerKey'));
  });

  it('shows what stands in the way instead of refusing, also a host that does not answer', async () => {
    site.bravo.host.traits.totalMiB = 100;
    site.bravo.host.traits.bridges = [];
    const full = await plan({ to: 'bravo' });
    assert.equal(full.to, undefined);
    assert.deepEqual(
      full.checks.filter(({ verdict }) => verdict === 'fail').map(({ name }) => name),
      ['memory'],
    );
    for (const key of ['totalMiB', 'bridges'] as const) delete site.bravo.host.traits[key];
    await site.bravo.stop();
    try {
      const silent = await plan({ to: 'bravo' });
      assert.equal(silent.to, undefined);
      assert.match(silent.checks.find(({ verdict }) => verdict === 'fail')?.reason ?? '', /host bravo does not answer/);
      assert.equal((await plan()).candidates[0]?.eligible, false);
      await assert.rejects(site.client.migrateVm({ params, body: {} }), refused('agent_unreachable', /host bravo/));
    } finally {
      await site.bravo.start();
    }
  });

  it('refuses what makes no sense, as an order does', async () => {
    await assert.rejects(plan({ to: 'alpha' }), refused('same_host', /on host alpha already/));
    await assert.rejects(plan({ to: 'zulu' }), refused('not_found', /no host zulu/));
    await assert.rejects(site.client.planMigration({ params: { vm: 'nobody' }, body: {} }), refused('not_found', /no VM nobody/));
  });

  it('asks the chosen host anew: what it said before does not count', async () => {
    await plan({ to: 'bravo' });
    site.bravo.host.traits.totalMiB = 100;
    await assert.rejects(site.client.migrateVm({ params, body: {} }), refused('no_room', /redis.*does not fit on host bravo/));
    assert.deepEqual(await site.client.listMigrations(), []);
    delete site.bravo.host.traits.totalMiB;
  });

  it('moves the VM to the host that fits best', async () => {
    await plan({ to: 'bravo' });
    const { id, to } = await site.client.migrateVm({ params, body: {} });
    assert.equal(to, 'bravo');
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    assert.equal((await plan()).to, 'alpha');
  });
});

describe('an order without a destination, among three hosts', { timeout: 120_000 }, () => {
  it('goes to the next best where the best, asked anew, has no room any more, and says which it took', async () => {
    const site = await Site.start({ more: ['charlie'], tuning: { pollMs: 60_000 } });
    try {
      await site.running('redis');
      const best = (await site.client.planMigration({ params: { vm: 'redis' }, body: {} })).to;
      const [first, next] = best === 'bravo' ? [site.bravo, 'charlie'] : [site.more[0], 'bravo'];
      assert.ok(first);
      first.host.traits.totalMiB = 100;
      const { id, to } = await site.client.migrateVm({ params: { vm: 'redis' }, body: {} });
      assert.equal(to, next);
      assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
      assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).host, next);
    } finally {
      await site.close();
    }
  });
});
