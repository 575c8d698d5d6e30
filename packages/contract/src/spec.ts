/** The migration spec and the rest of what the manager and an agent say to each other about one attempt. */
import { type Static, Type } from 'typebox';
import { CpuSeconds, MigrationFailure, MigrationLimits, MigrationPhase, MigrationProgress, Suite } from './migration.ts';
import { Bytes, base64url, Endpoint, KeyHash, Milliseconds, Name, Timestamp, Uuid } from './names.ts';
import { Keep } from './settlement.ts';
import { VmDefinition } from './vm.ts';

export const HostIdentity = Type.Object({ name: Name, keyHash: KeyHash }, { additionalProperties: false });
export type HostIdentity = Static<typeof HostIdentity>;

/** A disk that moves with its VM: the destination makes one of the same name, pool, format and size, and what is on it is copied. */
export const CopiedDisk = Type.Object(
  {
    /** Which of the definition's disks. */
    index: Type.Integer({ minimum: 0, maximum: 15 }),
    /** As the guest sees it. */
    sizeBytes: Bytes,
    /** What it really took at the source when the migration was ordered. */
    allocatedBytes: Bytes,
  },
  { additionalProperties: false },
);
export type CopiedDisk = Static<typeof CopiedDisk>;

/**
 * Everything of a migration spec but its key. Both agents get the same one, and its hash is mixed into every key
 * (docs/protocol.md, "context"), so that two hosts that were told different things never confirm a channel.
 */
export const MigrationSpec = Type.Object(
  {
    protocolVersion: Type.Integer({ minimum: 1, maximum: 255 }),
    migration: Uuid,
    attempt: Type.Integer({ minimum: 1, maximum: 0xffffffff }),
    nonce: base64url(8),
    suite: Suite,
    source: HostIdentity,
    destination: HostIdentity,
    /** TCP connections, channel 0 included: 2 for a single stream, 2 + n with n multifd channels, then one for each disk that is copied. */
    channels: Type.Integer({ minimum: 2, maximum: 256 }),
    /** In the order of their channels. Missing: none. */
    disks: Type.Optional(Type.Array(CopiedDisk, { maxItems: 16 })),
    /** The source's files of them stay when the VM has gone. */
    keepSourceDisks: Type.Optional(Type.Boolean()),
    limits: MigrationLimits,
    expiresAt: Timestamp,
  },
  { additionalProperties: false, $id: 'MigrationSpec' },
);
export type MigrationSpec = Static<typeof MigrationSpec>;

/**
 * The spec's key, wrapped to the X25519 key that the agent made for this attempt (docs/protocol.md, "key wrap"):
 * the manager's ephemeral public key, then the key sealed with AES-256-GCM, then the tag.
 */
export const WrappedKey = Type.Object({ ephemeral: base64url(32), sealed: base64url(48) }, { additionalProperties: false });
export type WrappedKey = Static<typeof WrappedKey>;

/** Asks an agent for a public key to wrap the spec's key to. Asking again for the same attempt makes a new one. */
export const KeyRequest = Type.Object({ migration: Uuid, attempt: Type.Integer({ minimum: 1 }) }, { additionalProperties: false });
export type KeyRequest = Static<typeof KeyRequest>;
export const KeyOffer = Type.Object({ publicKey: base64url(32) });
export type KeyOffer = Static<typeof KeyOffer>;

export const IncomingRequest = Type.Object(
  {
    spec: MigrationSpec,
    key: WrappedKey,
    vm: VmDefinition,
    /** Where the source's agent answers: an attempt in doubt is settled there. */
    peer: Endpoint,
  },
  { additionalProperties: false },
);
export type IncomingRequest = Static<typeof IncomingRequest>;

export const IncomingAnswer = Type.Object({ endpoints: Type.Array(Endpoint, { minItems: 1 }) });
export type IncomingAnswer = Static<typeof IncomingAnswer>;

export const OutgoingRequest = Type.Object(
  {
    spec: MigrationSpec,
    key: WrappedKey,
    vm: Name,
    endpoints: Type.Array(Endpoint, { minItems: 1, maxItems: 16 }),
    /** Where the destination's agent answers: an attempt in doubt is settled there. */
    peer: Endpoint,
  },
  { additionalProperties: false },
);
export type OutgoingRequest = Static<typeof OutgoingRequest>;

/** One side's account of an attempt. The source's is the authority on progress and times. */
export const AttemptReport = Type.Object({
  migration: Uuid,
  attempt: Type.Integer(),
  role: Type.Union([Type.Literal('source'), Type.Literal('destination')]),
  vm: Name,
  phase: MigrationPhase,
  progress: Type.Optional(MigrationProgress),
  failure: Type.Optional(MigrationFailure),
  /** At a destination in doubt: whoever brings the source's statement has to have it made with this challenge. */
  challenge: Type.Optional(base64url(16)),
  /** An administrator has decided for this host. */
  resolved: Type.Optional(Keep),
  /** There once the attempt has ended. Times are set by the source only. */
  result: Type.Optional(
    Type.Object({
      /** From the source being told; the manager adds what went before. */
      migrationMs: Type.Optional(Milliseconds),
      switchOverMs: Type.Optional(Milliseconds),
      switchOverErrorMs: Type.Optional(Milliseconds),
      bytesOnWire: Bytes,
      records: Type.Integer(),
      cpuSeconds: CpuSeconds,
    }),
  ),
});
export type AttemptReport = Static<typeof AttemptReport>;
