import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine } from './command-line.ts';
import { configureMigration, queryMigration, startOutgoing, untilMigration } from './migration.ts';
import { isAlive, killQemu, launchQemu } from './process.ts';
import { QmpError } from './qmp/error.ts';
import { queryRunState } from './run-state.ts';
import { pathsIn } from './testing/paths.ts';

it('a migration whose sockets broke is tried again at once, or refused in words where QEMU never lets go of it; the guest runs on', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'hm-'));
  const paths = pathsIn(directory);
  const vm = { name: 'probe', memoryMiB: 64, vcpus: 1, cpuModel: 'qemu64', machine: 'pc-q35-7.2', disks: [], nics: [] };
  const argv = commandLine(vm, paths, { accel: 'tcg', incoming: false, paused: false, tapNames: [] });
  const logFile = join(directory, 'qemu.log');
  const { process, monitor } = await launchQemu({ binary: 'qemu-system-x86_64', argv, logFile, qmpSocket: paths.qmpSocket });

  /** @returns whether QEMU began, and failed when its sockets broke in the middle of copying */
  const attempt = async (socket: string): Promise<boolean> => {
    const sockets = new Set<Socket>();
    const sink = createServer((one) => void sockets.add(one.on('error', () => {}).resume()));
    await once(sink.listen(socket), 'listening');
    try {
      await startOutgoing(monitor, socket);
      while (((await queryMigration(monitor)).ram?.transferred ?? 0) < 100_000) await sleep(1);
      for (const one of sockets) one.destroy();
      await untilMigration(monitor, ['failed']);
      return true;
    } catch (error) {
      if (error instanceof QmpError && error.code === 'timeout' && /power the VM off and on/.test(error.message)) return false;
      throw error;
    } finally {
      for (const one of sockets) one.destroy();
      sink.close();
    }
  };

  try {
    const settings = { multifdChannels: 16, bandwidthBytesPerSecond: 1_000_000, downtimeMs: 30, maxThrottlePercent: 0 };
    await configureMigration(monitor, { ...settings, role: 'source' });
    for (let n = 1; n <= 30 && (await attempt(join(directory, `out-${n}`))); n++);
    assert.equal(await isAlive(process), true);
    assert.equal(await queryRunState(monitor), 'running');
  } finally {
    monitor.close();
    await killQemu(process);
    await rm(directory, { recursive: true });
  }
});
