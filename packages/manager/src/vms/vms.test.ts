import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SealiftError } from '@sealift/contract';
import { definitionOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('VMs', () => {
  let site: Site;
  before(async () => {
    site = await Site.start();
  });
  after(() => site.close());
  const create = (host: string, definition: ReturnType<typeof definitionOf>) => site.client.createVm({ body: { host, definition } });

  it('live from creation to removal', async () => {
    const params = { vm: 'redis' };
    const made = await create('alpha', definitionOf('redis'));
    assert.deepEqual([made.name, made.host, made.state, made.definition], ['redis', 'alpha', 'stopped', definitionOf('redis')]);
    assert.equal((await site.client.startVm({ params })).state, 'running');
    await assert.rejects(site.client.startVm({ params }), refused('wrong_state', /running/));
    await assert.rejects(site.client.removeVm({ params }), refused('wrong_state', /VM redis is running; stop it first/));
    assert.deepEqual(
      (await site.client.listVms()).map((vm) => [vm.name, vm.state]),
      [['redis', 'running']],
    );
    assert.equal((await site.client.stopVm({ params, body: { force: false } })).state, 'stopped');
    await site.client.removeVm({ params });
    await assert.rejects(site.client.getVm({ params }), refused('not_found', /no VM redis/));
    assert.equal(site.alpha.host.vms.size, 0);
  });

  it('are refused where they have no place, and then nothing is kept', async () => {
    await assert.rejects(create('nowhere', definitionOf('web')), refused('not_found', /no host nowhere/));
    await assert.rejects(
      create('alpha', definitionOf('web', { memoryMiB: 5000 })),
      refused('no_room', /needs 5000 MiB and 4096 MiB of 4096 MiB are free/),
    );
    await assert.rejects(
      create('alpha', definitionOf('web', { nics: [{ bridge: 'br9', mac: '52:54:00:00:00:01' }] })),
      refused('no_room', /no bridge br9.*it has br0/),
    );
    await assert.rejects(create('alpha', definitionOf('web', { machine: 'pc-q35-99.0' })), refused('incompatible', /pc-q35-99\.0/));
    site.alpha.host.failures.set('defineVm', new SealiftError('internal', 'the disk is full'));
    await assert.rejects(create('alpha', definitionOf('web')), refused('internal', /the disk is full/));
    site.alpha.host.failures.clear();
    assert.deepEqual(await site.client.listVms(), []);
    for (const order of ['getVm', 'startVm', 'removeVm'] as const) {
      await assert.rejects(site.client[order]({ params: { vm: 'web' } }), refused('not_found', /no VM web/));
    }
  });

  it('are suspended, resumed, reset, and changed as a whole while they are off', async () => {
    const params = { vm: 'shape' };
    await site.running('shape');
    assert.equal((await site.client.suspendVm({ params })).state, 'paused');
    assert.equal((await site.client.suspendVm({ params })).state, 'paused');
    assert.equal((await site.client.resumeVm({ params })).state, 'running');
    assert.equal((await site.client.resetVm({ params })).state, 'running');
    await site.client.stopVm({ params, body: { force: true } });
    await assert.rejects(site.client.resetVm({ params }), refused('wrong_state', /stopped/));

    const body = definitionOf('shape', { memoryMiB: 512, encryption: 'required' });
    const changed = await site.client.changeVm({ params, body });
    assert.deepEqual([changed.definition, changed.encryption], [body, { mode: 'required', from: 'vm' }]);
    assert.deepEqual(site.alpha.host.vms.get('shape')?.definition, body);
    await assert.rejects(site.client.changeVm({ params, body: { ...body, memoryMiB: 5000 } }), refused('no_room', /needs 5000 MiB/));
    assert.deepEqual((await site.client.getVm({ params })).definition, body);
    await site.client.removeVm({ params });
  });

  it('keep a new encryption mode although their host does not answer, and are listed by pages', async () => {
    for (const vm of ['one', 'three', 'two']) await create(vm === 'two' ? 'bravo' : 'alpha', definitionOf(vm));
    await site.alpha.stop();
    const mode = site.client.changeVm({ params: { vm: 'one' }, body: definitionOf('one', { encryption: 'required' }) });
    assert.deepEqual((await mode).encryption, { mode: 'required', from: 'vm' });
    await site.alpha.start();
    const names = async (query: { limit?: number; after?: string; host?: string }) =>
      (await site.client.listVms({ query })).map(({ name }) => name);
    assert.deepEqual(await names({ limit: 2 }), ['one', 'three']);
    assert.deepEqual(await names({ limit: 2, after: 'three' }), ['two']);
    assert.deepEqual(await names({ host: 'alpha', limit: 1000 }), ['one', 'three']);
    const hosts = await site.client.listHosts({ query: { after: 'alpha', limit: 1 } });
    assert.deepEqual(
      hosts.map(({ name }) => name),
      ['bravo'],
    );
    for (const vm of ['one', 'three', 'two']) await site.client.removeVm({ params: { vm } });
  });

  it('get a name once, also when it is asked for twice at the same moment', async () => {
    const outcomes = await Promise.allSettled(['alpha', 'bravo', 'alpha', 'bravo'].map((host) => create(host, definitionOf('web'))));
    const made = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    assert.equal(made.length, 1);
    for (const outcome of outcomes) if (outcome.status === 'rejected') refused('already_exists', /VM web is already there/)(outcome.reason);
    assert.equal(site.alpha.host.vms.size + site.bravo.host.vms.size, 1);
    await site.client.removeVm({ params: { vm: 'web' } });
  });

  it('can be created again where the answer was lost, but never over another', async () => {
    site.alpha.lostAnswers.add('defineVm');
    await assert.rejects(create('alpha', definitionOf('web')), refused('agent_unreachable', /host alpha/));
    site.alpha.lostAnswers.clear();
    await assert.rejects(create('alpha', definitionOf('web', { memoryMiB: 128 })), refused('already_exists', /web/));
    assert.equal((await create('alpha', definitionOf('web'))).state, 'stopped');
    await site.client.removeVm({ params: { vm: 'web' } });
  });

  it('can be removed where their host has lost them', async () => {
    await create('alpha', definitionOf('web'));
    site.alpha.host.vms.clear();
    await site.client.removeVm({ params: { vm: 'web' } });
    assert.deepEqual(await site.client.listVms(), []);
  });

  it('that a host has and the manager does not know are shown with the host, and not touched', async () => {
    site.bravo.host.vms.set('stranger', { definition: definitionOf('stranger'), state: 'running' });
    await site.client.createVm({ body: { host: 'bravo', definition: definitionOf('known') } });
    const { unknownVms } = await site.client.getHost({ params: { host: 'bravo' } });
    assert.deepEqual(unknownVms, ['stranger']);
    assert.equal((await site.client.getHost({ params: { host: 'alpha' } })).unknownVms, undefined);
    assert.equal(site.bravo.host.vms.get('stranger')?.state, 'running');
    site.bravo.host.vms.delete('stranger');
    await site.client.removeVm({ params: { vm: 'known' } });
  });

  it('are not started where another host has them too: two would run', async () => {
    await create('alpha', definitionOf('twice'));
    const params = { vm: 'twice' };
    for (const state of ['running', 'paused', 'in-doubt'] as const) {
      site.bravo.host.vms.set('twice', { definition: definitionOf('twice'), state });
      await assert.rejects(
        site.client.startVm({ params }),
        refused('wrong_state', new RegExp(`VM twice is stopped on host alpha, where the manager has it, and it is ${state} on host bravo`)),
      );
      assert.equal(site.alpha.host.vms.get('twice')?.state, 'stopped');
    }
    const shown = await site.client.getVm({ params });
    assert.deepEqual(
      shown.found.map(({ host, state }) => [host, state]),
      [
        ['alpha', 'stopped'],
        ['bravo', 'in-doubt'],
      ],
    );
    assert.match(shown.problem ?? '', /found on more than one host/);
    site.bravo.host.vms.delete('twice');
    assert.equal((await site.client.startVm({ params })).state, 'running');
    assert.equal((await site.client.getVm({ params })).problem, undefined);
    await site.client.stopVm({ params, body: { force: true } });
    await site.client.removeVm({ params });
  });
});
