/** Looking at a QEMU without changing anything: qapi/machine.json, qapi/qom.json, qapi/block-core.json, qapi/migration.json. */
import type { Monitor } from './qmp/monitor.ts';
import type { ExecuteOptions } from './qmp/vocabulary.ts';

const MiB = 1024 * 1024;

/** Bytes that a guest has read from and written to all of its disks since its QEMU was started. */
export async function queryDiskBytes(monitor: Monitor, options?: ExecuteOptions): Promise<{ read: number; written: number }> {
  const devices = await monitor.execute('query-blockstats', undefined, options);
  const sum = { read: 0, written: 0 };
  for (const { stats } of devices) {
    sum.read += stats.rd_bytes;
    sum.written += stats.wr_bytes;
  }
  return sum;
}

/** Of a machine that somebody else has put together, what QMP says of its shape. */
export interface MachineShape {
  readonly memoryMiB: number;
  readonly vcpus: number;
  /** Without features that were added or taken away: QMP does not list those. */
  readonly cpuModel: string;
  readonly machine: string;
}

export async function queryShape(monitor: Monitor, options?: ExecuteOptions): Promise<MachineShape> {
  const typeOf = async (path: string): Promise<string> => String(await monitor.execute('qom-get', { path, property: 'type' }, options));
  const memory = await monitor.execute('query-memory-size-summary', undefined, options);
  const cpus = await monitor.execute('query-cpus-fast', undefined, options);
  const first = cpus[0]?.['qom-path'];
  return {
    memoryMiB: Math.round((memory['base-memory'] + (memory['plugged-memory'] ?? 0)) / MiB),
    vcpus: cpus.length,
    cpuModel: first === undefined ? 'unknown' : (await typeOf(first)).replace(/-[a-z0-9_]+-cpu$/, ''),
    machine: (await typeOf('/machine')).replace(/-machine$/, ''),
  };
}

/** Devices that are tied to the host that they are on, whatever QEMU says of them before it is asked to migrate. */
const TIED = [
  [/^vfio-/, 'it is hardware of this host, passed through'],
  [/9p/, 'it is a directory of this host, shared with the guest'],
  [/^(vhost-user-fs|virtio-fs)/, 'it is a directory of this host, shared with the guest'],
  [/^usb-host$/, 'it is a USB device of this host, passed through'],
  [/^ivshmem/, 'it is memory that the guest shares with others on this host'],
  [/^scsi-(generic|block)$/, 'it is a SCSI device of this host, passed through'],
] as const;

/** CPU models that mean whatever the host has: on another host the guest would find another CPU. */
export const followsHost = (cpuModel: string): boolean => /^(host|max)(,|$)/.test(cpuModel);

/** Why QEMU could not migrate this machine to any host, each in words: what blocks it now by its own account, and devices of {@link TIED}. */
export async function queryObstacles(monitor: Monitor, options?: ExecuteOptions): Promise<string[]> {
  const { 'blocked-reasons': blocked } = await monitor.execute('query-migrate', undefined, options);
  const reasons = Array.isArray(blocked) ? blocked.map((reason) => `QEMU says: ${reason}`) : [];
  for (const path of ['/machine/peripheral', '/machine/peripheral-anon']) {
    for (const { name, type } of await monitor.execute('qom-list', { path }, options)) {
      const device = /^child<(.*)>$/.exec(type)?.[1];
      const tied = device === undefined ? undefined : TIED.find(([pattern]) => pattern.test(device));
      if (tied) reasons.push(`its device ${name} (${device}) cannot move: ${tied[1]}`);
    }
  }
  return reasons;
}
