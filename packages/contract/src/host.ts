/** A host: how the manager knows it, and what its agent reports. */
import { type Static, Type } from 'typebox';
import { Bytes, Endpoint, KeyHash, Name, Timestamp } from './names.ts';
import { AgentVm, ImageName } from './vm.ts';

/** A directory of the host that disks are kept in. */
export const Pool = Type.Object({ name: Name, path: Type.String(), total: Bytes, available: Bytes });
export type Pool = Static<typeof Pool>;

/** A file in a pool that disks are made from. */
export const Image = Type.Object({
  pool: Name,
  name: ImageName,
  format: Type.Union([Type.Literal('raw'), Type.Literal('qcow2')]),
  /** Of a disk that is made from it. */
  sizeBytes: Bytes,
  allocatedBytes: Bytes,
  /** Files that would be lost with it: clones, in the pool or on a path of a VM. */
  usedBy: Type.Array(Type.String()),
});
export type Image = Static<typeof Image>;

export const ImageImport = Type.Object(
  {
    pool: Name,
    name: ImageName,
    path: Type.String({ pattern: '^/[^\\0]+$', description: 'A file of the host, which stays as it is' }),
    format: Type.Optional(
      Type.Union([Type.Literal('raw'), Type.Literal('qcow2')], {
        description: 'Of that file; left out: qcow2 where it ends in .qcow2, raw otherwise',
      }),
    ),
  },
  { additionalProperties: false },
);
export type ImageImport = Static<typeof ImageImport>;

/** What an agent says of its host. */
export const HostReport = Type.Object({
  name: Name,
  version: Type.String({ description: "sealift's version" }),
  protocolVersion: Type.Integer({ description: 'Of sealed channels; see docs/protocol.md' }),
  keyHash: KeyHash,
  qemu: Type.Object({
    version: Type.String(),
    machines: Type.Array(Type.String()),
    accel: Type.Union([Type.Literal('kvm'), Type.Literal('tcg')]),
    /** Migration capabilities that this QEMU knows, such as `multifd`. */
    capabilities: Type.Array(Type.String()),
  }),
  cpus: Type.Integer(),
  /** For VMs: `reserved` is what the VMs here hold, running or moving in; `available` what another one may still be given. */
  memory: Type.Object({ total: Bytes, available: Bytes, reserved: Bytes }),
  bridges: Type.Array(Type.String()),
  /** The addresses that sealed channels may come in on. */
  migrationEndpoints: Type.Array(Endpoint),
  canSeal: Type.Boolean(),
  /** Why not, in words, where it cannot. */
  cannotSealBecause: Type.Optional(Type.String()),
  /** Has the CPU instructions for AES? Without them sealing works, slowly. */
  aesInstructions: Type.Optional(Type.Boolean()),
  /** What QEMU can give guests here (QMP `query-cpu-definitions`); missing from an agent that does not say. */
  cpu: Type.Optional(
    Type.Object({
      /** The host's own, as the kernel names it. */
      model: Type.String(),
      /** QEMU's CPU models that this host and accelerator give in full. */
      usable: Type.Array(Type.String()),
      /** Of the other models, the features that are missing. */
      missing: Type.Record(Type.String(), Type.Array(Type.String())),
    }),
  ),
  /** Over the last few seconds. */
  load: Type.Optional(
    Type.Object({
      /** Of all the host's CPUs: 0 to 1. */
      cpu: Type.Number({ minimum: 0 }),
      /** Of the links that the migration addresses are on. */
      linkBytesPerSecond: Type.Number({ minimum: 0 }),
    }),
  ),
  /** What the links of the migration addresses carry together, 10^6 bits a second, where the kernel says it. */
  linkMbps: Type.Optional(Type.Number({ minimum: 0 })),
  pools: Type.Optional(Type.Array(Pool)),
  /** What this agent was told to do that nobody should do in production, in words. */
  unsafe: Type.Optional(Type.Array(Type.String())),
  vms: Type.Array(AgentVm),
});
export type HostReport = Static<typeof HostReport>;

/** `draining`: VMs are leaving. `maintenance`: none is placed here. */
export const Maintenance = Type.Union([Type.Literal('none'), Type.Literal('draining'), Type.Literal('maintenance')]);
export type Maintenance = Static<typeof Maintenance>;

export const HostState = Type.Union([Type.Literal('connected'), Type.Literal('unreachable')]);

export const Host = Type.Object({
  name: Name,
  /** Where its agent answers. */
  endpoint: Endpoint,
  state: HostState,
  cluster: Name,
  maintenance: Maintenance,
  /** Why it is unreachable, in words. */
  problem: Type.Optional(Type.String()),
  lastSeenAt: Type.Optional(Timestamp),
  report: Type.Optional(HostReport),
  /** VMs that it has and the manager does not know. Nothing is done about them by itself. */
  unknownVms: Type.Optional(Type.Array(Name)),
});
export type Host = Static<typeof Host>;

export const HostRegistration = Type.Object(
  { name: Name, endpoint: Endpoint, cluster: Type.Optional(Name) },
  { additionalProperties: false },
);
export type HostRegistration = Static<typeof HostRegistration>;
