/** What a VM takes of a host, and what moving it will take. */
import type { HostReport, MigrationLimits, Move } from '@sealift/contract';
import type { SnapshotVm } from './types.ts';

const MiB = 1024 * 1024;

/** Of a running VM that nobody has measured, each vCPU counts for so much of a CPU. */
const unmeasuredPerVcpu = 0.25;
/** Where the kernel does not say how fast the migration links are: 1 Gb/s. */
const unknownLinkMbps = 1000;
/** Asking both agents, starting QEMU, the switch-over. */
const fixedMs = 1000;

export const memoryOf = ({ definition }: Pick<SnapshotVm, 'definition'>): number => definition.memoryMiB * MiB;

/** Does it take part in what its host does? A stopped one has no memory there, and no vCPU that runs. */
export const isLive = ({ state }: Pick<SnapshotVm, 'state'>): boolean => state !== 'stopped' && state !== 'crashed';

/** CPUs' worth that the VM takes: 1 is one CPU fully used. */
export function cpusOf({ definition, state, stats }: Pick<SnapshotVm, 'definition' | 'state' | 'stats'>): number {
  if (state === 'stopped' || state === 'crashed' || state === 'paused') return 0;
  return stats?.cpus ?? definition.vcpus * unmeasuredPerVcpu;
}

/** Of its memory, what there really is to send. */
const contentOf = (vm: SnapshotVm): number => Math.min(memoryOf(vm), vm.stats?.residentBytes ?? memoryOf(vm));

/** What there really is in the disks that go with it. */
const diskBytesOf = ({ definition, disks = [] }: SnapshotVm): number =>
  disks.reduce((all, { allocatedBytes = 0 }, index) => all + (definition.disks[index]?.shared === false ? allocatedBytes : 0), 0);

/** How much of its memory a VM may change while it is copied: nobody knows beforehand, and a busy VM changes more. */
const busyness = (vm: SnapshotVm): number => Math.min(1, cpusOf(vm) / vm.definition.vcpus);

/** By which a drain orders its moves: bytes to copy, of memory twice as much where all vCPUs are busy. */
export const impactOf = (vm: SnapshotVm): number => contentOf(vm) * (1 + busyness(vm)) + diskBytesOf(vm);

/** Bytes a second of a host's migration links together; undefined where it does not say. */
export const linkSpeedOf = (report: HostReport | undefined): number | undefined =>
  report?.linkMbps ? (report.linkMbps * 1_000_000) / 8 : undefined;

/** Roughly: what there is to send over the slower of both hosts' links, or the order's bandwidth where that is less. */
export function estimate(
  vm: SnapshotVm,
  from: HostReport | undefined,
  to: HostReport | undefined,
  limits?: Partial<MigrationLimits>,
): NonNullable<Move['estimate']> {
  const unknown = (unknownLinkMbps * 1_000_000) / 8;
  const bandwidth = limits?.bandwidthBytesPerSecond || Number.POSITIVE_INFINITY;
  const rate = Math.min(linkSpeedOf(from) ?? unknown, linkSpeedOf(to) ?? unknown, bandwidth);
  const bytes = Math.round(impactOf(vm));
  return { bytes, ms: Math.round(fixedMs + (bytes / rate) * 1000) };
}
