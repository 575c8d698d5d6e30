import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { definitionOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('clusters and rules', () => {
  let site: Site;
  before(async () => {
    site = await Site.start({ more: ['charlie'] });
    await site.client.removeHost({ params: { host: 'charlie' } });
  });
  after(() => site.close());
  const edge = { cluster: 'edge' };

  it('are made, changed field by field, and removed when they have no host', async () => {
    const made = await site.client.setCluster({ params: edge, body: { encryption: 'required', cpuBaseline: 'Nehalem-v1' } });
    assert.deepEqual(made, {
      name: 'edge',
      encryption: 'required',
      cpuBaseline: 'Nehalem-v1',
      limits: {},
      balance: { auto: false, bandPercent: 15, restMs: 600_000 },
      hosts: [],
    });
    const endpoint = site.more[0]?.endpoint ?? '';
    await assert.rejects(
      site.client.addHost({ body: { name: 'charlie', endpoint, cluster: 'none' } }),
      refused('not_found', /no cluster none/),
    );
    assert.equal((await site.client.addHost({ body: { name: 'charlie', endpoint, cluster: 'edge' } })).cluster, 'edge');
    const changed = await site.client.setCluster({
      params: edge,
      body: { cpuBaseline: null, limits: { perHost: 1 }, balance: { bandPercent: 30 } },
    });
    const { cpuBaseline: _, ...rest } = made;
    assert.deepEqual(changed, { ...rest, limits: { perHost: 1 }, balance: { ...made.balance, bandPercent: 30 }, hosts: ['charlie'] });
    assert.deepEqual(
      (await site.client.listHosts({ query: { cluster: 'edge' } })).map(({ name }) => name),
      ['charlie'],
    );
    await assert.rejects(site.client.removeCluster({ params: edge }), refused('wrong_state', /cluster edge still has charlie/));
  });

  it('say how VMs move that do not say it themselves', async () => {
    const { encryption: _, ...definition } = definitionOf('plain');
    const modeOf = async () => (await site.client.getVm({ params: { vm: 'plain' } })).encryption;
    const made = await site.client.createVm({ body: { host: 'charlie', definition } });
    assert.deepEqual(made.encryption, { mode: 'required', from: 'cluster' });
    await site.client.setCluster({ params: edge, body: { encryption: 'disabled' } });
    assert.deepEqual(await modeOf(), { mode: 'disabled', from: 'cluster' });
    await site.client.startVm({ params: { vm: 'plain' } });
    // At any time; the rest only while it is off.
    const [params, body] = [{ vm: 'plain' }, { ...definition, encryption: 'required' as const }];
    const changed = await site.client.changeVm({ params, body });
    assert.deepEqual(changed.encryption, { mode: 'required', from: 'vm' });
    await assert.rejects(
      site.client.changeVm({ params, body: { ...body, memoryMiB: 512 } }),
      refused('wrong_state', /VM plain is running: only its encryption can be changed now; for memoryMiB stop it first/),
    );
    await assert.rejects(
      site.client.changeVm({ params, body: { ...body, name: 'other' } }),
      refused('invalid_request', /^name: a VM keeps its name/),
    );
    await assert.rejects(
      site.client.changeVm({ params: { vm: 'other' }, body: { ...body, name: 'other' } }),
      refused('not_found', /no VM other/),
    );
    await site.client.changeVm({ params, body: definition });
    assert.deepEqual(await modeOf(), { mode: 'disabled', from: 'cluster' });
    await site.client.stopVm({ params, body: { force: true } });
    await site.client.removeVm({ params });
    await site.client.removeHost({ params: { host: 'charlie' } });
    await site.client.removeCluster({ params: edge });
    await assert.rejects(site.client.getCluster({ params: edge }), refused('not_found', /no cluster edge/));
    await assert.rejects(site.client.removeCluster({ params: { cluster: 'default' } }), refused('wrong_state', /always there/));
  });

  it('rules have to mean something', async () => {
    const params = { rule: 'pair' };
    const rule = { kind: 'apart' as const, vms: ['a', 'b'], hosts: [], must: true };
    assert.deepEqual(await site.client.setRule({ params, body: rule }), { name: 'pair', ...rule });
    assert.deepEqual(await site.client.listRules(), [{ name: 'pair', ...rule }]);
    const set = (changes: object) => site.client.setRule({ params, body: { ...rule, ...changes } });
    await assert.rejects(set({ vms: ['a', 'a'] }), refused('invalid_request', /at least two VMs/));
    await assert.rejects(set({ hosts: ['alpha'] }), refused('invalid_request', /names no host/));
    await assert.rejects(set({ kind: 'on-hosts' }), refused('invalid_request', /at least one host/));
    await site.client.removeRule({ params });
    await assert.rejects(site.client.removeRule({ params }), refused('not_found', /no rule pair/));
  });
});
