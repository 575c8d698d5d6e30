/** The facts about a machine that its numbers depend on. */
import { cpus, release, totalmem } from 'node:os';
import type { Host } from '@sealift/contract';
import type { Machine } from './result.ts';

export const machineOf = (host: Host | undefined, guestMemoryMiB: number): Machine => ({
  cpus: cpus().length,
  cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
  memoryBytes: totalmem(),
  kernel: release(),
  node: process.versions.node,
  qemu: host?.report?.qemu.version ?? 'unknown',
  accel: host?.report?.qemu.accel ?? 'unknown',
  guestMemoryMiB,
});
