/** What simulated hosts say of themselves: as long as what a real agent says, most of it the same text for all. */
import type { HostReport } from '@sealift/contract';

const MiB = 1024 * 1024;
const totalMiB = 786_432;
export const cpus = 96;

const models = [
  'Broadwell',
  'Cascadelake-Server',
  'Cooperlake',
  'Denverton',
  'EPYC',
  'EPYC-Milan',
  'Haswell',
  'Icelake-Server',
  'IvyBridge',
];
const features = [
  'avx512f',
  'avx512dq',
  'avx512cd',
  'avx512bw',
  'avx512vl',
  'hle',
  'rtm',
  'mpx',
  'pku',
  'clwb',
  'xsaves',
  'spec-ctrl',
  'ssbd',
];

/** About 10 KB of JSON, as QEMU 7.2 has it on a host that gives few models in full. */
const missing = Object.fromEntries(
  models.flatMap((model) => ['', '-v1', '-v2', '-v3', '-v4', '-noTSX', '-IBRS'].map((more) => [`${model}${more}`, features] as const)),
);

const same: Omit<HostReport, 'name' | 'keyHash' | 'memory' | 'load' | 'vms'> = {
  version: '0.1.0',
  protocolVersion: 1,
  qemu: {
    version: '7.2.22 (Debian)',
    machines: ['pc-q35-7.2', 'pc-q35-7.1'],
    accel: 'kvm',
    capabilities: ['multifd', 'events', 'return-path'],
  },
  cpus,
  bridges: ['br0'],
  migrationEndpoints: ['192.0.2.1:8651'], // RFC 5737: documentation, never routed
  canSeal: true,
  aesInstructions: true,
  linkMbps: 25_000,
  pools: [],
  cpu: { model: 'a simulated CPU', usable: ['qemu64', 'max'], missing },
};
const sameJson = JSON.stringify(same).slice(1, -1);

/** @param vms the JSON of each VM */
export function reportOf(
  host: { name: string; keyHash: string },
  reservedMiB: number,
  load: HostReport['load'],
  vms: readonly string[],
): string {
  const { name, keyHash } = host;
  const memory = { total: totalMiB * MiB, available: (totalMiB - reservedMiB) * MiB, reserved: reservedMiB * MiB };
  return `${JSON.stringify({ name, keyHash, memory, load }).slice(0, -1)},${sameJson},"vms":[${vms.join(',')}]}`;
}
