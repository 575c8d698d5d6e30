import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { commandLine } from './command-line.ts';
import type { VmDefinition } from './definition.ts';
import { killQemu, launchQemu, untilGone } from './process.ts';
import { QmpClient } from './qmp/client.ts';
import { monitorCompliance } from './testing/compliance.ts';
import { FakeQemu } from './testing/fake-qemu.ts';
import { pathsIn } from './testing/paths.ts';

/** SeaBIOS finds nothing to boot and idles; that is guest enough. */
const vm: VmDefinition = { name: 'probe', memoryMiB: 64, vcpus: 1, cpuModel: 'qemu64', machine: 'pc-q35-7.2', disks: [], nics: [] };

monitorCompliance('QEMU', async ({ directory, paused, incoming }) => {
  await mkdir(directory, { recursive: true });
  const paths = pathsIn(directory);
  const argv = commandLine(vm, paths, { accel: 'tcg', incoming, paused, tapNames: [] });
  const logFile = join(directory, 'qemu.log');
  const { process, monitor } = await launchQemu({ binary: 'qemu-system-x86_64', argv, logFile, qmpSocket: paths.qmpSocket });
  return {
    monitor,
    qmpSocket: paths.qmpSocket,
    gone: () => untilGone(process, { deadlineMs: 30_000 }),
    [Symbol.asyncDispose]: async () => {
      monitor.close();
      await killQemu(process);
    },
  };
});

monitorCompliance('FakeQemu', async ({ directory, paused, incoming }) => {
  await mkdir(directory, { recursive: true });
  const { qmpSocket, spareQmpSocket } = pathsIn(directory);
  // More than sockets hold, so that copying waits for a peer that does not read.
  const fake = await FakeQemu.start({ qmpSockets: [qmpSocket, spareQmpSocket], paused, incoming, ramBytes: 4 * 1024 * 1024 });
  const monitor = await QmpClient.connect(qmpSocket);
  return {
    monitor,
    qmpSocket,
    gone: () => fake.exited,
    [Symbol.asyncDispose]: async () => {
      monitor.close();
      await fake[Symbol.asyncDispose]();
    },
  };
});
