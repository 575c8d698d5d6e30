/** A VM with a disk in a pool that both hosts share, and with a seed, moves between two agents; a disk that only one host has does not. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bareVm } from '../testing/bare-vm.ts';
import { follow, order, testSpec } from '../testing/order.ts';
import { tinyGuest } from '../testing/tiny-guest.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const until = async (what: string, holds: () => boolean): Promise<void> => {
  for (const deadline = Date.now() + 60_000; !holds(); await sleep(20)) assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
};

withTwoHosts({ title: 'disks and seeds of VMs that move', file: import.meta.url, sharedPool: true }, (hosts) => {
  test('a shared disk stays where it is, the seed is there again, and the disk goes with the VM where that is', async () => {
    const { alpha, bravo, sharedPool = assert.fail() } = hosts();
    writeFileSync(join(sharedPool, 'images/tiny.raw'), tinyGuest);
    const root = { pool: 'shared', name: 'root', image: 'tiny.raw', clone: true, format: 'qcow2', shared: true } as const;
    const here = await alpha.host.vms.define(bareVm('web', { disks: [root], seed: { userData: '#cloud-config\n' } }));
    await alpha.host.vms.start('web');
    await until('the guest has read its seed', () => readFileSync(here.paths.serialLog, 'latin1').includes('cidata'));
    const seed = readFileSync(here.paths.seed);

    const spec = testSpec(alpha, bravo);
    await order(alpha, bravo, 'web', spec);
    assert.equal((await follow(alpha, spec.migration)).phase, 'completed');
    assert.deepEqual([alpha.host.vms.list(), existsSync(here.paths.seed)], [[], false]);
    const there = bravo.host.vms.vm('web');
    assert.ok(readFileSync(there.paths.seed).equals(seed), 'the same bytes: the guest may have it mounted');
    await bravo.host.vms.reset('web');
    await until('the guest has booted from its disk and read its seed again', () =>
      readFileSync(there.paths.serialLog, 'latin1').includes('cidata'),
    );
    await bravo.host.vms.stop('web', true);
    const file = join(sharedPool, 'web.root.qcow2');
    assert.ok(existsSync(file));
    assert.deepEqual(await bravo.host.vms.remove('web'), { removedDisks: [file] });
    assert.ok(!existsSync(file));
  });

  test('a disk that is not shared does not come, in words, and its VM runs on', async () => {
    const { alpha, bravo } = hosts();
    const data = { pool: 'shared', name: 'data', sizeMiB: 1, format: 'raw', shared: false } as const;
    await alpha.host.vms.define(bareVm('local', { disks: [data] }));
    await alpha.host.vms.start('local');
    await assert.rejects(
      order(alpha, bravo, 'local', testSpec(alpha, bravo)),
      /local cannot come here: its disk data in pool shared is not shared/,
    );
    assert.equal(alpha.host.vms.vm('local').state, 'running');
    assert.deepEqual(bravo.host.vms.list(), []);
  });
});
