/** VMs with disks that only their host has, moved between two agents. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { CopiedDisk, PoolDisk } from '@sealift/contract';
import { queryMirrors, queryRunState } from '@sealift/hypervisor';
import { readFacts } from '../disks/qcow2.ts';
import type { RunningAgent } from '../run.ts';
import { bareVm } from '../testing/bare-vm.ts';
import { follow, type OrderOptions, order, testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const disks: readonly PoolDisk[] = [
  { pool: 'own', name: 'system', sizeMiB: 96, format: 'qcow2', shared: false },
  { pool: 'own', name: 'data', sizeMiB: 64, format: 'raw', shared: false },
];

withTwoHosts({ title: 'disks that go with their VM', file: import.meta.url, ownPools: true }, (hosts) => {
  const fileOf = (host: string, vm: string, { name, format }: PoolDisk) => join(hosts().ownPool(host), `${vm}.${name}.${format}`);
  const filesAt = (host: string) => readdirSync(hosts().ownPool(host)).filter((name) => name !== 'images');

  const boot = async (vm: string, at: RunningAgent = hosts().alpha): Promise<void> => {
    await at.host.vms.define(bareVm(vm, { disks: [...disks] }));
    await at.host.vms.start(vm);
  };
  /** What its guest would do to a disk. */
  const write = async (at: RunningAgent, vm: string, disk: number, words: string): Promise<void> => {
    const line = `qemu-io -d /machine/peripheral/virtio-disk${disk}/virtio-backend "${words}"`;
    const said = await at.host.vms.vm(vm).monitor.execute('human-monitor-command', { 'command-line': line });
    assert.match(said, /ops|^\s*$/, words);
  };
  const fill = async (at: RunningAgent, vm: string): Promise<void> => {
    for (let i = 0; i < 12; i++)
      for (const disk of [0, 1]) await write(at, vm, disk, `write -P ${i + 1 + disk} ${i * 5}M ${200 + i * 60}k`);
  };
  const sizes = async (host: string, vm: string): Promise<CopiedDisk[]> =>
    Promise.all(
      disks.map(async (disk, index) => {
        const { sizeBytes, allocatedBytes } = await readFacts(fileOf(host, vm, disk), disk.format);
        return { index, sizeBytes, allocatedBytes };
      }),
    );
  const specOf = async (vm: string, from: RunningAgent, to: RunningAgent, more: OrderOptions = {}) =>
    testSpec(from, to, { disks: await sizes(from.host.identity.name, vm), ...more });
  const removeFrom = async (at: RunningAgent, vm: string): Promise<void> => {
    await at.host.vms.stop(vm, true);
    await at.host.vms.remove(vm);
  };

  describe('arrive', () => {
    for (const suite of ['aes-256-gcm', 'none'] as const) {
      test(`the same and as thin as they were, while the guest writes, and are gone at the source (${suite})`, async () => {
        const { alpha, bravo } = hosts();
        await boot('web');
        await fill(alpha, 'web');
        const spec = await specOf('web', alpha, bravo, { suite, keepSourceDisks: true, limits: { bandwidthBytesPerSecond: 2_000_000 } });
        await order(alpha, bravo, 'web', spec);
        // Into the middle of it, which its limit makes last; then it may end.
        for (let i = 0; i < 60; i++) await write(alpha, 'web', i % 2, `write -P ${100 + (i % 100)} ${(i * 7) % 60}M 12k`);
        await alpha.attempts.adjust(spec.migration, { bandwidthBytesPerSecond: 0 });
        const [source, destination] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
        assert.deepEqual([source.phase, destination.phase], ['completed', 'completed'], source.failure?.message);
        assert.deepEqual(hosts().left(alpha, 'web', spec.migration), nothingLeft);
        assert.deepEqual(hosts().left(bravo, 'web', spec.migration), runsHere);
        assert.deepEqual(
          source.progress?.disks?.map(({ disk }) => disk),
          ['disk system in pool own of VM web', 'disk data in pool own of VM web'],
        );
        assert.equal(source.progress?.channels.at(-1)?.kind, 'disk');
        await removeQemu(bravo, 'web');
        for (const disk of disks) {
          const [from, to] = ['alpha', 'bravo'].map((host) => fileOf(host, 'web', disk)) as [string, string]; // two of two
          execFileSync('qemu-img', ['compare', '-f', disk.format, '-F', disk.format, from, to]);
          const [before, after] = [from, to].map((file) => statSync(file).blocks * 512) as [number, number]; // two of two
          assert.ok(after <= before * 1.02 + 256 * 1024, `${disk.name}: ${before} bytes became ${after}`);
          execFileSync('rm', [from]);
        }
        // Back again, and this time nothing stays.
        await bravo.host.vms.start('web');
        const back = await specOf('web', bravo, alpha, { suite });
        await order(bravo, alpha, 'web', back);
        assert.equal((await follow(bravo, back.migration)).phase, 'completed');
        assert.deepEqual([filesAt('bravo'), filesAt('alpha').length], [[], 2]);
        await removeFrom(alpha, 'web');
        assert.deepEqual(filesAt('alpha'), []);
      });
    }
  });
  const removeQemu = (at: RunningAgent, vm: string) => at.host.vms.stop(vm, true);

  describe('stay where they were', () => {
    test('when it is cancelled while they are copied; the VM can be moved after all', async () => {
      const { alpha, bravo } = hosts();
      await boot('stays');
      await fill(alpha, 'stays');
      const { monitor } = alpha.host.vms.vm('stays');
      const slow = { limits: { bandwidthBytesPerSecond: 200_000 } };
      const spec = await specOf('stays', alpha, bravo, slow);
      await order(alpha, bravo, 'stays', spec);
      await follow(alpha, spec.migration, ({ progress }) => (progress?.disks ?? []).some(({ sentBytes }) => sentBytes > 0));
      await alpha.attempts.cancel(spec.migration);
      const [source, destination] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
      assert.deepEqual([source.phase, destination.phase], ['cancelled', 'failed']);
      assert.deepEqual(hosts().left(alpha, 'stays', spec.migration), runsHere);
      assert.deepEqual(hosts().left(bravo, 'stays', spec.migration), nothingLeft);
      assert.deepEqual([await queryMirrors(monitor), await queryRunState(monitor), filesAt('bravo')], [[], 'running', []]);
      // Too slow to end, until somebody lets it go faster.
      const again = await specOf('stays', alpha, bravo, slow);
      await order(alpha, bravo, 'stays', again);
      await follow(alpha, again.migration, ({ progress }) => (progress?.disks ?? []).some(({ sentBytes }) => sentBytes > 0));
      await alpha.attempts.adjust(again.migration, { bandwidthBytesPerSecond: 0 });
      assert.equal((await follow(alpha, again.migration)).phase, 'completed');
      await follow(bravo, again.migration);
      await removeFrom(bravo, 'stays');
    });

    test('when an agent starts again while they are copied, whichever it is', async () => {
      for (const which of ['alpha', 'bravo'] as const) {
        const { alpha, bravo } = hosts();
        await boot('held');
        await fill(alpha, 'held');
        const spec = await specOf('held', alpha, bravo, { limits: { bandwidthBytesPerSecond: 100_000 } });
        await order(alpha, bravo, 'held', spec);
        await follow(alpha, spec.migration, (report) => (report.progress?.disks?.length ?? 0) > 0);
        await hosts().restart(hosts()[which]);
        const [source, destination] = await Promise.all([follow(hosts().alpha, spec.migration), follow(hosts().bravo, spec.migration)]);
        assert.deepEqual([source.phase, destination.phase], ['failed', 'failed']);
        const { monitor } = hosts().alpha.host.vms.vm('held');
        assert.deepEqual([await queryMirrors(monitor), await queryRunState(monitor), filesAt('bravo')], [[], 'running', []]);
        await write(hosts().alpha, 'held', 0, 'write -P 1 0 64k');
        await removeFrom(hosts().alpha, 'held');
      }
    });

    test('when there is no room left for them in the middle, in words', async () => {
      const { alpha, bravo } = hosts();
      await boot('large');
      const spec = await specOf('large', alpha, bravo);
      for (const disk of [0, 1]) await write(alpha, 'large', disk, 'write -P 5 0 48M');
      const pool = hosts().ownPool('bravo');
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=66m', 'sealift-test', pool]);
      try {
        mkdirSync(join(pool, 'images'));
        await order(alpha, bravo, 'large', spec);
        const [source, destination] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
        assert.deepEqual([source.phase, destination.phase], ['failed', 'failed']);
        const said = destination.failure?.message ?? '';
        assert.match(said, /disk \w+ in pool own of VM large cannot be written at host bravo: no space is left/);
        assert.deepEqual(hosts().left(alpha, 'large', spec.migration), runsHere);
        assert.deepEqual(filesAt('bravo'), []);
      } finally {
        execFileSync('umount', ['-l', pool]);
      }
      await removeFrom(alpha, 'large');
    });

    test('when one is not as large as was ordered, or is there already, before anything is copied', async () => {
      const { alpha, bravo } = hosts();
      await boot('grown');
      const [system, data] = await sizes('alpha', 'grown');
      assert.ok(system && data);
      const spec = testSpec(alpha, bravo, { disks: [system, { ...data, sizeBytes: data.sizeBytes / 2 }] });
      await order(alpha, bravo, 'grown', spec);
      const source = await follow(alpha, spec.migration);
      assert.match(
        `${source.phase} ${source.failure?.message}`,
        /^failed disk data in pool own of VM grown had 33554432 bytes when.*67108864 now/,
      );
      await follow(bravo, spec.migration);
      assert.deepEqual(filesAt('bravo'), []);
      const taken = fileOf('bravo', 'grown', disks[1] ?? assert.fail());
      execFileSync('truncate', ['-s', '1M', taken]);
      await assert.rejects(order(alpha, bravo, 'grown', await specOf('grown', alpha, bravo)), {
        code: 'already_exists',
        message: /grown\.data\.raw already/,
      });
      assert.ok(existsSync(taken), 'somebody else made it');
      execFileSync('rm', [taken]);
      await removeFrom(alpha, 'grown');
    });
  });
});
