/** Things that a manager could answer with. */
import type { Host, Migration, MigrationProgress, Vm } from '@sealift/contract';

const mebi = 2 ** 20;

export const vm: Vm = {
  name: 'demo',
  host: 'alpha',
  state: 'running',
  encryption: { mode: 'required', from: 'vm' },
  createdAt: Date.UTC(2026, 0, 2, 3, 4, 5),
  found: [{ host: 'alpha', state: 'running', pid: 4711 }],
  definition: {
    name: 'demo',
    memoryMiB: 512,
    vcpus: 2,
    cpuModel: 'qemu64',
    machine: 'pc-q35-7.2',
    disks: [{ path: '/var/demo.qcow2', format: 'qcow2', shared: true }],
    nics: [{ bridge: 'lan', mac: '52:54:00:01:02:03' }],
    encryption: 'required',
  },
};

export const host: Host = {
  name: 'alpha',
  endpoint: '10.0.0.1:8652',
  state: 'connected',
  cluster: 'default',
  maintenance: 'none',
  lastSeenAt: Date.UTC(2026, 0, 2),
  report: {
    name: 'alpha',
    version: '0.1.0',
    protocolVersion: 1,
    keyHash: 'ab'.repeat(32),
    qemu: { version: '7.2.0', machines: ['pc-q35-7.2'], accel: 'tcg', capabilities: ['multifd'] },
    cpus: 2,
    memory: { total: 8192 * mebi, available: 4096 * mebi, reserved: 512 * mebi },
    bridges: ['lan'],
    migrationEndpoints: ['10.0.1.1:8651'],
    canSeal: true,
    load: { cpu: 0.37, linkBytesPerSecond: 12_500_000 },
    linkMbps: 10_000,
    vms: [{ definition: vm.definition, state: 'running', log: '/var/log/demo' }],
  },
};

export const silentHost: Host = {
  name: 'bravo',
  endpoint: '10.0.0.2:8652',
  state: 'unreachable',
  cluster: 'default',
  maintenance: 'none',
  problem: 'connection refused',
};

export const progress: MigrationProgress = {
  phase: 'copying',
  elapsedMs: 1234,
  bytesOnWire: 300 * mebi,
  throughputMBps: 112.4,
  ram: { total: 512 * mebi, transferred: 290 * mebi, remaining: 242 * mebi, dirtyBytesPerSecond: 3_200_000, passes: 2 },
  throttlePercent: 0,
  downtimeMs: 45,
  channels: [{ channel: 1, kind: 'main', bytes: 290 * mebi, records: 1160 }],
};

export const ordered: Migration = {
  id: '0190d3a2-7c1e-7a90-8f10-0123456789ab',
  vm: 'demo',
  from: 'alpha',
  to: 'bravo',
  suite: 'aes-256-gcm',
  attempt: 1,
  phase: 'preparing',
  orderedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
};

export const copying: Migration = { ...ordered, phase: 'copying', progress };

export const completed: Migration = {
  ...ordered,
  phase: 'completed',
  endedAt: ordered.orderedAt + 3400,
  result: {
    suite: 'aes-256-gcm',
    channels: 4,
    migrationMs: 3214,
    switchOverMs: 68.12,
    switchOverErrorMs: 0.1,
    bytesOnWire: 537 * mebi,
    records: 2143,
    throughputMBps: 167,
    cpuSeconds: { source: { qemu: 1.2, transport: 2.1 }, destination: { qemu: 0.9, transport: 2 } },
  },
};

export const clear = { suite: 'none', clearBecause: 'the order asked for it' } as const;
export const cancelled: Migration = { ...ordered, phase: 'cancelled', endedAt: ordered.orderedAt + 900 };
export const failed: Migration = {
  ...ordered,
  phase: 'failed',
  endedAt: ordered.orderedAt + 900,
  failure: { code: 'stalled', message: 'bravo did not answer for 10 s', advice: 'Look at the line.' },
};
