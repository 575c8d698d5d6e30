/** Things that a manager could answer with. */
import type {
  BalancePlan,
  Candidate,
  Cluster,
  DrainPlan,
  Event,
  Host,
  HostLoad,
  Image,
  Migration,
  MigrationPlan,
  MigrationProgress,
  Rule,
  Task,
  Vm,
} from '@sealift/contract';

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

export const image: Image = {
  pool: 'default',
  name: 'debian.qcow2',
  format: 'qcow2',
  sizeBytes: 2048 * mebi,
  allocatedBytes: 300 * mebi,
  usedBy: ['/pool/web.root.qcow2'],
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

export const cluster: Cluster = {
  name: 'default',
  encryption: 'opportunistic',
  limits: { perHost: 4 },
  balance: { auto: false, bandPercent: 15, restMs: 600_000 },
  hosts: ['alpha', 'bravo'],
};

export const rule: Rule = { name: 'pair', kind: 'apart', vms: ['web-1', 'web-2'], hosts: [], must: true };

const loadOf = (cpu: number): HostLoad => ({ cpu, memory: 0.5, link: 0 });

const noRoom: Candidate = {
  host: 'charlie',
  eligible: false,
  checks: [{ name: 'memory', verdict: 'fail', reason: '12 MiB are missing', remedy: 'free some' }],
};

const at = Date.UTC(2026, 0, 2);
const unsealed = { suite: 'none', clearBecause: 'charlie cannot seal' } as const;

export const migrationPlan: MigrationPlan = {
  vm: 'demo',
  from: 'alpha',
  to: 'bravo',
  ...unsealed,
  why: 'bravo has the least load',
  checks: [
    { name: 'memory', verdict: 'pass', reason: 'there is room for demo on bravo' },
    { name: 'cpu', verdict: 'warn', reason: 'another model', remedy: 'watch it' },
  ],
  candidates: [{ host: 'bravo', eligible: true, checks: [], score: 0.4, load: loadOf(0.4) }, noRoom],
  multifdChannels: 2,
  limits: {
    bandwidthBytesPerSecond: 0,
    downtimeMs: 30,
    maxDowntimeMs: 300,
    deadlineMs: 3_600_000,
    maxThrottlePercent: 80,
    postcopy: false,
  },
  estimate: { bytes: 512 * mebi, ms: 4000 },
  at,
};

export const drainPlan: DrainPlan = {
  host: 'alpha',
  moves: [{ vm: 'demo', from: 'alpha', to: 'bravo', ...unsealed, why: 'least load' }],
  stays: [{ vm: 'db', candidates: [noRoom], why: 'no host will do' }],
  at,
};

export const balancePlan: BalancePlan = {
  cluster: 'default',
  moves: [{ vm: 'demo', from: 'alpha', to: 'bravo', suite: 'aes-256-gcm', why: 'alpha is busy' }],
  before: [
    { host: 'alpha', load: loadOf(0.8) },
    { host: 'bravo', load: loadOf(0) },
  ],
  after: [
    { host: 'alpha', load: loadOf(0.4) },
    { host: 'bravo', load: loadOf(0.4) },
  ],
  balanced: true,
  why: 'one move is enough',
  at,
};

export const drainTask: Task = {
  id: '0190d3a2-7c1e-7a90-8f10-aaaaaaaaaaaa',
  kind: 'drain',
  title: 'drain host alpha',
  subject: { host: 'alpha' },
  state: 'running',
  progress: { done: 1, total: 2 },
  startedAt: at,
  log: [{ at, message: 'demo leaves for bravo' }],
  cancellable: true,
};

export const event: Event = {
  id: 7,
  at,
  type: 'vm.state',
  subject: { vm: 'demo', host: 'alpha' },
  severity: 'warning',
  message: 'demo is crashed on alpha',
};
