/** Disks in pools through the manager: what it passes on, what it tells, and which of them go with a VM. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { definitionOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

test('disks come, stay and go as the host says, and go with their VM', async () => {
  const site = await Site.start();
  const directory = await mkdtemp(join(tmpdir(), 'sealift-images-'));
  try {
    const { client } = site;
    const on = { host: 'alpha' };
    const path = join(directory, 'base.img');
    await writeFile(path, 'boot me');
    const image = { pool: 'default', name: 'base.raw' };
    assert.deepEqual(await client.importImage({ params: on, body: { ...image, path } }), (await client.listImages({ params: on }))[0]);
    assert.deepEqual(await client.listImages({ params: { host: 'bravo' } }), []);
    await assert.rejects(client.listImages({ params: { host: 'nowhere' } }), refused('not_found', /there is no host nowhere/));

    const root = { pool: 'default', name: 'root', image: 'base.raw', clone: true, format: 'qcow2', shared: false } as const;
    const create = (vm: string, disk: object = {}) =>
      client.createVm({ body: { ...on, definition: { ...definitionOf(vm), disks: [{ ...root, ...disk }] } } });
    await assert.rejects(create('web', { pool: 'fast' }), refused('no_room', /no pool fast/));
    await assert.rejects(client.getVm({ params: { vm: 'web' } }), refused('not_found', /no VM web/));
    assert.deepEqual((await create('web')).disks, [
      { path: '/var/lib/sealift/agent/pools/default/web.root.qcow2', sizeBytes: 2 ** 20, allocatedBytes: 4096 },
    ]);
    await create('other');
    await client.startVm({ params: { vm: 'web' } });
    const order = (to: string, more: object = {}) => client.migrateVm({ params: { vm: 'web' }, body: { to, ...more } });
    await assert.rejects(
      order('bravo', { limits: { postcopy: true } }),
      refused('invalid_request', /a disk that goes with it.*Leave out post-copy/),
    );
    const move = async (to: string, more?: object): Promise<void> => {
      const { id } = await order(to, more);
      assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    };
    await move('bravo');
    const { spec } = [...site.bravo.host.attempts.values()].at(-1) ?? {};
    assert.deepEqual(spec?.disks, [{ index: 0, sizeBytes: 2 ** 20, allocatedBytes: 4096 }]);
    assert.equal(spec.channels, 5, 'one more for the disk');
    await move('alpha');
    await move('bravo', { keepSourceDisks: true });
    // What was kept there is in the way.
    const failed = (await site.watch((await order('alpha')).id)).at(-1);
    assert.match(`${failed?.phase}: ${failed?.failure?.message}`, /^failed: .*web\.root\.qcow2 already/);
    await client.stopVm({ params: { vm: 'web' }, body: { force: true } });

    const removal = { params: { ...on, pool: 'default', image: 'base.raw' } };
    await assert.rejects(client.removeImage(removal), refused('wrong_state', /in use/));
    assert.deepEqual(Object.keys(await client.removeVm({ params: { vm: 'other' }, query: { keepDisks: true } })), ['keptDisks']);
    const { removedDisks = [] } = await client.removeVm({ params: { vm: 'web' } });
    assert.match(removedDisks.join(), /web\.root\.qcow2$/);
    const told = async (): Promise<string> =>
      (await client.listEvents({ query: { vm: 'web' } })).find(({ type }) => type === 'vm.removed')?.message ?? '';
    // Events are shown when they are written, which is a little after the answer.
    for (const deadline = Date.now() + 30_000; (await told()) === '' && Date.now() < deadline; ) await sleep(20);
    assert.match(await told(), /VM web was removed; and with it its disks .*web\.root\.qcow2 on host bravo/);
  } finally {
    await site.close();
    await rm(directory, { recursive: true });
  }
});
