/** On real QEMU: the guest of disks' tests writes, what it wrote is found, and what is not as it should be is named. */
import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { killQemu } from '@sealift/hypervisor';
import { pino } from 'pino';
import { VmHost } from '../vms/host.ts';
import { bareVm } from './bare-vm.ts';
import { markerAt, writingDiskBytes, writingGuest, writtenProblems } from './writing-guest.ts';

test('it writes to both of its disks until it is cut off, and every write is there', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sealift-writing-'));
  const shape = { blocks: 64, disks: 2 } as const;
  const paths = ['a.raw', 'b.raw'].map((name) => join(directory, name));
  let host: VmHost | undefined;
  try {
    for (const path of paths) {
      writeFileSync(path, writingGuest({ ...shape, writesPerSecond: 1000 }));
      truncateSync(path, writingDiskBytes(shape));
    }
    const marked = readFileSync(paths[0] ?? '');
    marked.write('marker', markerAt, 'latin1');
    writeFileSync(paths[0] ?? '', marked);
    host = await VmHost.open({
      state: join(directory, 'state'),
      run: join(directory, 'run'),
      qemu: { binary: 'qemu-system-x86_64', accel: 'tcg' },
      memoryMiB: undefined,
      log: pino({ level: 'silent' }),
    });
    const disks = paths.map((path) => ({ path, format: 'raw', shared: false }) as const);
    const vm = await host.define(bareVm('writer', { disks }));
    await host.start('writer');
    const dots = (): number => readFileSync(vm.paths.serialLog, 'latin1').split('.').length - 1;
    for (const deadline = Date.now() + 60_000; dots() < 4; await sleep(20)) {
      assert.ok(Date.now() < deadline, `it says no more than ${readFileSync(vm.paths.serialLog, 'latin1')}`);
    }
    await host.stop('writer', true);
    const { writes, problems } = writtenProblems(shape, paths);
    assert.deepEqual(problems, []);
    assert.ok(writes >= 4 * 64, `${writes} writes`);
    assert.equal(readFileSync(paths[0] ?? '').toString('latin1', markerAt, markerAt + 6), 'marker');

    const [first = '', second = ''] = paths;
    const saved = readFileSync(second);
    const blockAt = (n: number): number => (16 + n) * 32_768;
    const written = Array.from({ length: shape.blocks }, (_, n) => n).find((n) => saved.readUInt32LE(blockAt(n)) !== 0) ?? assert.fail();
    for (const damage of [
      (file: Buffer) => file.fill(0, blockAt(written), blockAt(written + 1)),
      (file: Buffer) => file.fill(0, blockAt(written) + 2048, blockAt(written) + 2052),
      (file: Buffer) => file.copy(file, blockAt(shape.blocks - 1), blockAt(written), blockAt(written + 1)),
    ]) {
      const file = Buffer.from(saved);
      damage(file);
      writeFileSync(second, file);
      assert.match(
        writtenProblems(shape, [first, second]).problems.join(),
        /^disk 1, block \d+ is of write \d+ and should be of write \d+/,
      );
    }
  } finally {
    for (const vm of host?.list() ?? []) if (vm.process) await killQemu(vm.process);
    host?.close();
    await rm(directory, { recursive: true, force: true });
  }
});
