import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestCa } from '../testing/certificates.ts';
import { FakeAgent } from '../testing/fake-agent.ts';
import { definitionOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('hosts', () => {
  let site: Site;
  let charlie: FakeAgent;
  before(async () => {
    site = await Site.start();
    charlie = await FakeAgent.start('charlie', await site.ca.issue('charlie.agent.sealift'), new Map());
  });
  after(async () => {
    await charlie.stop();
    await site.close();
  });
  const add = (name: string, endpoint: string) => site.client.addHost({ body: { name, endpoint } });
  /** Waits for the poller, whose pace the site sets. */
  const becomes = async (host: string, state: string, problem = /^/) => {
    for (;;) {
      const shown = await site.client.getHost({ params: { host } });
      if (shown.state === state && problem.test(shown.problem ?? '')) return shown;
      await sleep(20);
    }
  };

  it('are shown with what they say of themselves', async () => {
    const hosts = await site.client.listHosts();
    assert.deepEqual(
      hosts.map((host) => [host.name, host.state, host.report?.canSeal]),
      [
        ['alpha', 'connected', true],
        ['bravo', 'connected', true],
      ],
    );
  });

  it('are refused where they are not what they should be, and then nothing is kept', async () => {
    await assert.rejects(add('alpha', site.alpha.endpoint), refused('already_exists', /host alpha is already there/));
    const left = await FakeAgent.start('delta', await site.ca.issue('delta.agent.sealift'), new Map());
    const nobody = left.endpoint;
    await left.stop();
    await assert.rejects(
      add('delta', nobody),
      refused('agent_unreachable', /host delta \(127\.0\.0\.1:\d+\) does not answer: nothing listens there/),
    );
    await assert.rejects(add('delta', charlie.endpoint), refused('agent_unreachable', /its certificate is for another host/));
    const stranger = await FakeAgent.start('delta', await (await TestCa.create()).issue('delta.agent.sealift'), new Map());
    try {
      await assert.rejects(add('delta', stranger.endpoint), refused('agent_unreachable', /its certificate is not from this manager's CA/));
    } finally {
      await stranger.stop();
    }
    charlie.host.traits.name = 'delta';
    await assert.rejects(add('charlie', charlie.endpoint), refused('invalid_request', /serves host delta, not charlie/));
    delete charlie.host.traits.name;
    await assert.rejects(add('charlie', 'no endpoint'), refused('invalid_request', /^endpoint is not valid/));
    assert.equal((await site.client.listHosts()).length, 2);
  });

  it('bring the VMs that they have, unless another host has one of that name', async () => {
    await site.running('redis');
    charlie.host.vms.set('redis', { definition: definitionOf('redis'), state: 'running' });
    await assert.rejects(add('charlie', charlie.endpoint), refused('already_exists', /VM redis is already known on host alpha/));
    charlie.host.vms.clear();
    charlie.host.vms.set('web', { definition: definitionOf('web'), state: 'running' });
    await add('charlie', charlie.endpoint);
    const web = await site.client.getVm({ params: { vm: 'web' } });
    assert.deepEqual([web.host, web.state], ['charlie', 'running']);
  });

  it('stay while they have a VM', async () => {
    const params = { host: 'charlie' };
    await assert.rejects(site.client.removeHost({ params }), refused('wrong_state', /still has web/));
    await site.client.stopVm({ params: { vm: 'web' }, body: { force: true } });
    await site.client.removeVm({ params: { vm: 'web' } });
    await site.client.removeHost({ params });
    await assert.rejects(site.client.getHost({ params }), refused('not_found', /no host charlie/));
  });

  it('are seen to go and to come back, their VMs meanwhile unknown', async () => {
    await site.alpha.stop();
    const gone = await becomes('alpha', 'unreachable');
    assert.match(gone.problem ?? '', /host alpha .* does not answer: /);
    assert.ok(gone.lastSeenAt !== undefined && gone.report !== undefined);
    assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).state, 'unknown');
    await assert.rejects(site.client.startVm({ params: { vm: 'redis' } }), refused('agent_unreachable', /host alpha/));

    await site.stopManager();
    await site.startManager();
    const still = await site.client.getHost({ params: { host: 'alpha' } });
    assert.deepEqual([still.state, still.report, still.lastSeenAt !== undefined], ['unreachable', undefined, true]);

    await site.alpha.start();
    await becomes('alpha', 'connected');
    assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).state, 'running');
  });

  it('are refused everything while they show another key', async () => {
    await site.bravo.stop();
    await site.bravo.start(await site.ca.issue('bravo.agent.sealift'));
    await becomes('bravo', 'unreachable', /its key is not the one it was added with/);
    const calls = site.bravo.host.calls.length;
    await assert.rejects(
      site.client.createVm({ body: { host: 'bravo', definition: definitionOf('web') } }),
      refused('not_authorised', /stands in for it/),
    );
    assert.equal(site.bravo.host.calls.length, calls);
    await site.bravo.stop();
    await site.bravo.start();
    await becomes('bravo', 'connected');
  });
});
