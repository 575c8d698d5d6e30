import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ErrorCode, HostReport, MigrationOrder, VmDefinition } from '@sealift/contract';
import type { FakeHost } from '../testing/fake-host.ts';
import { definitionOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

describe('refused orders change nothing', () => {
  let site: Site;
  before(async () => {
    site = await Site.start();
    await site.running('redis');
    await site.client.createVm({ body: { host: 'alpha', definition: definitionOf('still') } });
  });
  after(() => site.close());

  const qemu: HostReport['qemu'] = { version: '7.2.22 (Debian)', machines: ['pc-q35-7.2'], accel: 'tcg', capabilities: ['multifd'] };
  const cases: {
    name: string;
    vm?: string;
    order?: Partial<MigrationOrder>;
    definition?: Partial<VmDefinition>;
    alpha?: FakeHost['traits'];
    bravo?: FakeHost['traits'];
    code: ErrorCode;
    message: RegExp;
  }[] = [
    { name: 'unknown VM', vm: 'nobody', code: 'not_found', message: /no VM nobody/ },
    { name: 'unknown host', order: { to: 'charlie' }, code: 'not_found', message: /no host charlie/ },
    { name: 'same host', order: { to: 'alpha' }, code: 'same_host', message: /redis is on host alpha already/ },
    { name: 'stopped VM', vm: 'still', code: 'wrong_state', message: /still is stopped.*start it first/ },
    { name: 'no room', bravo: { totalMiB: 100 }, code: 'no_room', message: /needs 256 MiB and 100 MiB of 100 MiB are free/ },
    {
      name: 'no bridge',
      definition: { nics: [{ bridge: 'br0', mac: '52:54:00:00:00:01' }] },
      bravo: { bridges: ['br7'] },
      code: 'no_room',
      message: /no bridge br0.*it has br7/,
    },
    {
      name: 'machine type missing',
      bravo: { qemu: { ...qemu, machines: ['pc-q35-7.1'] } },
      code: 'incompatible',
      message: /7\.2\.22.*does not know machine type pc-q35-7\.2/,
    },
    {
      name: 'older QEMU',
      alpha: { qemu: { ...qemu, version: '10.0.2' } },
      code: 'incompatible',
      message: /QEMU 7\.2\.22.* is older than 10\.0\.2/,
    },
    {
      name: 'other accelerator',
      bravo: { qemu: { ...qemu, accel: 'kvm' } },
      code: 'incompatible',
      message: /alpha runs VMs under tcg, bravo under kvm/,
    },
    { name: 'no multifd', bravo: { qemu: { ...qemu, capabilities: [] } }, code: 'incompatible', message: /bravo.*no multifd/ },
    { name: 'other protocol version', bravo: { protocolVersion: 2 }, code: 'incompatible', message: /version 2 of sealed channels/ },
    {
      name: 'local disk',
      definition: { disks: [{ path: '/srv/redis.qcow2', format: 'qcow2', shared: false }] },
      code: 'incompatible',
      message: /\/srv\/redis\.qcow2.*image import/,
    },
    {
      name: 'clear against required',
      definition: { encryption: 'required' },
      order: { clear: true },
      code: 'encryption_required',
      message: /must be sealed/,
    },
    {
      name: 'a host that cannot seal against required',
      definition: { encryption: 'required' },
      bravo: { canSeal: false },
      code: 'encryption_required',
      message: /host bravo cannot seal/,
    },
    { name: 'another host serves there', bravo: { name: 'mallory' }, code: 'agent_unreachable', message: /serves host mallory, not bravo/ },
    { name: 'nonsense', order: { to: 'Bravo!' }, code: 'invalid_request', message: /^to is not valid.*DNS label/ },
    {
      name: 'nonsense deep inside',
      order: { limits: { downtimeMs: 0 } },
      code: 'invalid_request',
      message: /^limits\.downtimeMs must be >= 1/,
    },
  ];

  for (const { name, vm, order, definition, alpha, bravo, code, message } of cases) {
    it(name, async () => {
      const changed = definition && { params: { vm: 'changed' } };
      if (definition) await site.running('changed', definition);
      Object.assign(site.alpha.host.traits, alpha);
      Object.assign(site.bravo.host.traits, bravo);
      try {
        const params = { vm: vm ?? changed?.params.vm ?? 'redis' };
        await assert.rejects(site.client.migrateVm({ params, body: { to: 'bravo', ...order } }), refused(code, message));
        assert.deepEqual(await site.client.listMigrations(), []);
        for (const agent of [site.alpha, site.bravo]) assert.ok(!agent.host.calls.includes('offerKey'));
      } finally {
        for (const { host } of [site.alpha, site.bravo])
          for (const key of Object.keys(host.traits)) Reflect.deleteProperty(host.traits, key);
        if (changed) {
          await site.client.stopVm({ ...changed, body: { force: true } });
          await site.client.removeVm(changed);
        }
      }
    });
  }

  for (const side of ['alpha', 'bravo'] as const) {
    it(`unreachable ${side}`, async () => {
      await site[side].stop();
      try {
        await assert.rejects(
          site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'bravo' } }),
          refused('agent_unreachable', new RegExp(`host ${side} .*nothing listens there`)),
        );
        assert.deepEqual(await site.client.listMigrations(), []);
      } finally {
        await site[side].start();
      }
    });
  }

  it('a host whose key has changed', async () => {
    await site.bravo.stop();
    await site.bravo.start(await site.ca.issue('bravo.agent.sealift'));
    try {
      await assert.rejects(
        site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'bravo' } }),
        refused('not_authorised', /host bravo .* is refused: its key is not the one it was added with/),
      );
      assert.deepEqual(await site.client.listMigrations(), []);
    } finally {
      await site.bravo.stop();
      await site.bravo.start();
    }
  });
});
