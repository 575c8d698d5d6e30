/** On real QEMU: a guest boots from a disk that was cloned from an image, and reads its seed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { killQemu } from '@sealift/hypervisor';
import { pino } from 'pino';
import { bareVm } from '../testing/bare-vm.ts';
import { tinyGuest } from '../testing/tiny-guest.ts';
import { VmHost } from '../vms/host.ts';
import type { Vm } from '../vms/vm.ts';
import { Pools } from './pools.ts';
import { DiskWatch } from './watch.ts';

const needsRoot = process.getuid?.() === 0 ? false : 'needs root: it mounts a small file system';
const root = { pool: 'fast', name: 'root', image: 'tiny.raw', clone: true, format: 'qcow2', shared: false } as const;
const definition = bareVm('web', { disks: [root], seed: { userData: 'password: secret\n' } });

const until = async (what: string, holds: () => boolean): Promise<void> => {
  for (const deadline = Date.now() + 60_000; !holds(); await sleep(20)) assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
};
const hasRead = (vm: Vm) => (): boolean => readFileSync(vm.paths.serialLog, 'latin1').includes('cidata');

/** @param size of a file system of its own for the pool */
async function withPool(work: (host: VmHost, pool: string) => Promise<void>, size?: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'sealift-boot-'));
  const pool = join(directory, 'pool');
  mkdirSync(pool);
  let host: VmHost | undefined;
  let mounted = false;
  try {
    if (size !== undefined) {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'sealift-test', pool]);
      mounted = true;
    }
    mkdirSync(join(pool, 'images'));
    writeFileSync(join(pool, 'images/tiny.raw'), tinyGuest);
    host = await VmHost.open({
      state: join(directory, 'state'),
      run: join(directory, 'run'),
      pools: new Pools('alpha', [{ name: 'fast', path: pool }]),
      qemu: { binary: 'qemu-system-x86_64', accel: 'tcg' },
      memoryMiB: undefined,
      log: pino({ level: 'silent' }),
    });
    await work(host, pool);
  } finally {
    for (const vm of host?.list() ?? []) if (vm.process) await killQemu(vm.process);
    host?.close();
    if (mounted) execFileSync('umount', ['-l', pool]);
    await rm(directory, { recursive: true, force: true });
  }
}

test('a guest boots from a clone of an image, writes to it alone, and reads its seed', () =>
  withPool(async (host, pool) => {
    const vm = await host.define(definition);
    const watch = new DiskWatch(host.disks, () => host.list());
    await watch.lookAt(vm);
    const before = watch.of(vm).disks?.[0]?.allocatedBytes ?? assert.fail();
    await host.start('web');
    assert.equal(statSync(vm.paths.seed).mode & 0o777, 0o600, 'there may be passwords in it');
    await until('the guest has said the label of its seed', hasRead(vm));
    await host.stop('web', true);
    assert.ok(!existsSync(vm.paths.seed), 'it is there only while the VM is on');
    await watch.look();
    const [seen] = watch.of(vm).disks ?? [];
    assert.deepEqual([seen?.path, seen?.sizeBytes], [join(pool, 'web.root.qcow2'), 2 ** 20]);
    assert.ok((seen?.allocatedBytes ?? 0) > before, 'what the guest wrote is in its clone');
    assert.ok(readFileSync(join(pool, 'images/tiny.raw')).equals(tinyGuest), 'and not in the image');
    assert.ok((watch.pools[0]?.available ?? 0) > 0);
  }));

test('a guest whose thin disk finds its pool full is paused, and goes on when there is room again', { skip: needsRoot }, () =>
  withPool(async (host, pool) => {
    const vm = await host.define(definition);
    const filler = join(pool, 'filler');
    assert.throws(() => writeFileSync(filler, Buffer.alloc(8 * 2 ** 20)), /ENOSPC/);
    await host.start('web');
    await until('it is paused', () => vm.state === 'paused');
    rmSync(filler);
    await host.resume('web');
    await until('the guest goes on', hasRead(vm));
    assert.equal(vm.state, 'running');
  }, '4m'),
);
