/** A virtual machine: how it is defined, and what a host says of it. */
import { type Static, Type } from 'typebox';
import { Bytes, Name, Timestamp } from './names.ts';

/** What may be asked of a VM's migrations: see SPECIFICATION.md, "encryption mode". */
export const EncryptionMode = Type.Union([Type.Literal('disabled'), Type.Literal('opportunistic'), Type.Literal('required')]);
export type EncryptionMode = Static<typeof EncryptionMode>;

export const Nic = Type.Object(
  {
    bridge: Type.String({
      pattern: '^[A-Za-z0-9_.-]{1,15}$',
      description: 'A Linux bridge of the host; every host that may run the VM has one of this name',
    }),
    mac: Type.String({ pattern: '^[0-9a-f]{2}(:[0-9a-f]{2}){5}$' }),
  },
  { additionalProperties: false },
);

/** A file of the host that is there already: sealift uses it, and neither makes nor removes it. */
export interface PathDisk {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly shared: boolean;
  readonly pool?: never;
}

/** A disk that the host's agent makes in one of its pools together with the VM, and removes with it. */
export interface PoolDisk {
  readonly pool: string;
  /** Of the disk, within its VM. */
  readonly name: string;
  readonly format: 'raw' | 'qcow2';
  /** Missing: as large as its image. */
  readonly sizeMiB?: number;
  readonly image?: string;
  readonly clone?: boolean;
  readonly shared: boolean;
  readonly path?: never;
}
export type Disk = PathDisk | PoolDisk;

/** Of a file in a pool's `images/`; what it ends in says its format. No path can be written with it. */
export const ImageName = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
  description: 'A file in images/ of a pool: qcow2 where it ends in .qcow2, raw otherwise',
});

/** Either `path`, or `pool` and `name` with the rest: {@link disksFault} says what a schema says badly. */
const DiskSchema = Type.Object(
  {
    path: Type.Optional(
      Type.String({ pattern: '^/[^,\\0]+$', description: 'Absolute path of an image on the host, which stays as it is' }),
    ),
    pool: Type.Optional({ ...Name, description: 'A pool of the host; the disk is made in it with the VM, and removed with the VM' }),
    name: Type.Optional({ ...Name, description: 'Of a disk in a pool: its own within the VM' }),
    sizeMiB: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 2 ** 26, description: 'Of a disk in a pool; left out: as large as its image' }),
    ),
    image: Type.Optional({ ...ImageName, description: 'An image of the pool that it begins as a copy of' }),
    clone: Type.Optional(
      Type.Boolean({ description: 'Copy-on-write: only what is written is stored, over the image, which has to stay. qcow2 only' }),
    ),
    format: Type.Union([Type.Literal('raw'), Type.Literal('qcow2')]),
    shared: Type.Boolean({ default: false, description: 'The same disk is seen by every host, so it need not move' }),
  },
  { additionalProperties: false },
);
export const Disk = Type.Unsafe<Disk>(DiskSchema);

export const isPoolDisk = (disk: Disk): disk is PoolDisk => disk.pool !== undefined;

/** For messages: its path, or its name and pool. */
export const diskWords = (disk: Disk): string => (isPoolDisk(disk) ? `${disk.name} in pool ${disk.pool}` : disk.path);

/** What is wrong with disks that their schema lets pass, in words; undefined where nothing is. */
export function disksFault(disks: readonly Disk[]): string | undefined {
  const names = new Set<string>();
  for (const [index, disk] of disks.entries()) {
    const fault = isPoolDisk(disk) ? poolDiskFault(disk) : pathDiskFault(disk);
    if (fault !== undefined) return `disks.${index} ${fault}`;
    if (!isPoolDisk(disk)) continue;
    if (names.has(disk.name)) return `disks.${index} has the name of another disk, ${disk.name}`;
    names.add(disk.name);
  }
  return undefined;
}

// What comes over the wire has the schema's shape, and the types only when these have found nothing.
type Unchecked = Static<typeof DiskSchema>;

function pathDiskFault(disk: Unchecked): string | undefined {
  if (disk.path === undefined) return 'needs a path, or a pool and a name';
  const forPools = (['name', 'sizeMiB', 'image', 'clone'] as const).filter((key) => disk[key] !== undefined);
  return forPools.length > 0 ? `has a path: ${forPools.join(', ')} belong to disks in a pool` : undefined;
}

function poolDiskFault(disk: Unchecked): string | undefined {
  if (disk.path !== undefined) return 'has both a path and a pool; it takes one of them';
  if (disk.name === undefined) return 'is in a pool and needs a name';
  if (disk.image === undefined && disk.sizeMiB === undefined) return `(${disk.name}) needs sizeMiB, or an image`;
  if (disk.clone && disk.image === undefined) return `(${disk.name}) is a clone and needs an image`;
  return disk.clone && disk.format !== 'qcow2' ? `(${disk.name}) is a clone: that takes format qcow2` : undefined;
}

/** For cloud-init (its NoCloud data source): files of a small read-only volume that the VM has beside its disks. */
export const Seed = Type.Object(
  {
    userData: Type.String({ maxLength: 16_384, description: 'The file user-data, such as "#cloud-config" and what follows' }),
    metaData: Type.Optional(
      Type.String({ maxLength: 16_384, description: "The file meta-data; left out: the VM's name as instance-id and local-hostname" }),
    ),
    networkConfig: Type.Optional(Type.String({ maxLength: 16_384, description: 'The file network-config; left out: there is none' })),
  },
  { additionalProperties: false },
);
export type Seed = Static<typeof Seed>;

/** Boot a kernel directly, with files of the host. Without it the VM boots from its first disk. */
export const KernelBoot = Type.Object(
  {
    kernel: Type.String({ pattern: '^/[^\\0]+$' }),
    initrd: Type.Optional(Type.String({ pattern: '^/[^\\0]+$' })),
    cmdline: Type.String({ default: '', maxLength: 2048 }),
  },
  { additionalProperties: false },
);

export const VmDefinition = Type.Object(
  {
    name: Name,
    memoryMiB: Type.Integer({ minimum: 32, maximum: 16 * 1024 * 1024 }),
    vcpus: Type.Integer({ minimum: 1, maximum: 1024, default: 1 }),
    cpuModel: Type.String({
      pattern: '^[A-Za-z0-9_.,+=-]{1,256}$',
      default: 'qemu64',
      description: "QEMU's -cpu, fixed when the VM is created",
    }),
    machine: Type.String({ pattern: '^[A-Za-z0-9._-]{1,64}$', default: 'pc-q35-7.2', description: 'A versioned machine type' }),
    kernelBoot: Type.Optional(KernelBoot),
    disks: Type.Array(Disk, { default: [], maxItems: 16 }),
    nics: Type.Array(Nic, { default: [], maxItems: 8 }),
    seed: Type.Optional(Seed),
    /** Left out: the cluster's default. */
    encryption: Type.Optional(EncryptionMode),
  },
  { additionalProperties: false, $id: 'VmDefinition' },
);
export type VmDefinition = Static<typeof VmDefinition>;

/**
 * `moving-in` and `moving-out` are a migration's two ends; `in-doubt` is a paused source that has granted and not heard the outcome;
 * `unknown` is a VM whose host does not answer.
 */
export const VmState = Type.Union([
  Type.Literal('stopped'),
  Type.Literal('running'),
  Type.Literal('paused'),
  Type.Literal('moving-in'),
  Type.Literal('moving-out'),
  Type.Literal('in-doubt'),
  Type.Literal('crashed'),
  Type.Literal('unknown'),
]);
export type VmState = Static<typeof VmState>;

/** Over the last few seconds. */
export const VmStats = Type.Object({
  /** CPUs' worth: 1 is one CPU fully used. */
  cpus: Type.Number({ minimum: 0 }),
  /** Of the host's memory, what its QEMU really takes. */
  residentBytes: Bytes,
  diskBytesPerSecond: Type.Object({ read: Type.Number({ minimum: 0 }), written: Type.Number({ minimum: 0 }) }),
  networkBytesPerSecond: Type.Object({ received: Type.Number({ minimum: 0 }), sent: Type.Number({ minimum: 0 }) }),
});
export type VmStats = Static<typeof VmStats>;

/** A disk as its host has it: in the order of the definition's. */
export const DiskUse = Type.Object({
  /** The host's path of its file. */
  path: Type.String(),
  /** As the guest sees it. Missing where the file is not there. */
  sizeBytes: Type.Optional(Bytes),
  /** What it really takes of its host's storage. Missing where the file is not there. */
  allocatedBytes: Type.Optional(Bytes),
});
export type DiskUse = Static<typeof DiskUse>;

/** What became of the disks that a removed VM had in pools: the host's paths. */
export const VmRemoval = Type.Object({
  removedDisks: Type.Optional(Type.Array(Type.String())),
  keptDisks: Type.Optional(Type.Array(Type.String())),
});
export type VmRemoval = Static<typeof VmRemoval>;

/** A VM as its host's agent reports it. */
export const AgentVm = Type.Object({
  definition: VmDefinition,
  state: VmState,
  pid: Type.Optional(Type.Integer()),
  startedAt: Type.Optional(Timestamp),
  /** The host's path of the serial log. */
  log: Type.String(),
  migration: Type.Optional(Type.String()),
  stats: Type.Optional(VmStats),
  disks: Type.Optional(Type.Array(DiskUse)),
  /** A QEMU that sealift did not start: seen, not moved, not touched. */
  adopted: Type.Optional(Type.Boolean()),
  /** Why it cannot be moved whatever the destination, each in words. */
  immovable: Type.Optional(Type.Array(Type.String())),
});
export type AgentVm = Static<typeof AgentVm>;

/** Where a VM was found when hosts were last asked. */
export const Sighting = Type.Object({ host: Name, state: VmState, pid: Type.Optional(Type.Integer()) });
export type Sighting = Static<typeof Sighting>;

/** A VM as the manager shows it. */
export const Vm = Type.Object({
  name: Name,
  host: Name,
  state: VmState,
  definition: VmDefinition,
  /** What holds for its migrations: its own mode, or its cluster's. */
  encryption: Type.Object({ mode: EncryptionMode, from: Type.Union([Type.Literal('vm'), Type.Literal('cluster')]) }),
  createdAt: Timestamp,
  stats: Type.Optional(VmStats),
  disks: Type.Optional(Type.Array(DiskUse)),
  migration: Type.Optional(Type.String({ description: 'The migration that is moving it now' })),
  /** Every host that has it; two while it moves. */
  found: Type.Array(Sighting),
  /** What hosts say does not fit what the manager knows: on no host, on another one, on two. In words, with what to do. Nothing is done about it by itself. */
  problem: Type.Optional(Type.String()),
});
export type Vm = Static<typeof Vm>;
