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

export const Disk = Type.Object(
  {
    path: Type.String({ pattern: '^/[^,\\0]+$', description: 'Absolute path of the image on the host' }),
    format: Type.Union([Type.Literal('raw'), Type.Literal('qcow2')]),
    shared: Type.Boolean({ default: false, description: 'The same image is seen by every host, so it need not move' }),
  },
  { additionalProperties: false },
);

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
  migration: Type.Optional(Type.String({ description: 'The migration that is moving it now' })),
  /** Every host that has it; two while it moves. */
  found: Type.Array(Sighting),
  /** What hosts say does not fit what the manager knows: on no host, on another one, on two. In words, with what to do. Nothing is done about it by itself. */
  problem: Type.Optional(Type.String()),
});
export type Vm = Static<typeof Vm>;
