/** A migration as people see it: the order, its progress, its result. */
import { type Static, Type } from 'typebox';
import { Bytes, Milliseconds, Name, Timestamp, Uuid } from './names.ts';
import { Keep } from './settlement.ts';

/** `aes-256-gcm` is "sealed", `none` is "clear". */
export const Suite = Type.Union([Type.Literal('aes-256-gcm'), Type.Literal('none')]);
export type Suite = Static<typeof Suite>;

/** Limits that an order sets; what it leaves out gets these defaults. */
export const MigrationLimits = Type.Object(
  {
    /** Of all channels together; 0 is without limit. */
    bandwidthBytesPerSecond: Type.Integer({ minimum: 0, default: 0 }),
    /** The switch-over budget to begin with: QEMU stops the VM once it expects to send what is left within it (its `downtime-limit`). */
    downtimeMs: Type.Integer({ minimum: 1, maximum: 2_000_000, default: 30 }),
    /**
     * How far the budget may grow where memory does not fit it otherwise. Never below `downtimeMs`; equal to it, the budget stays as it is.
     * Left out of an order, it is 300 or `downtimeMs`, whichever is greater: a default that depends on another limit is none of the schema's.
     */
    maxDowntimeMs: Type.Integer({ minimum: 1, maximum: 2_000_000 }),
    /** From the order to the grant; when it passes, the migration is cancelled and the VM runs on. */
    deadlineMs: Type.Integer({ minimum: 1000, maximum: 86_400_000, default: 3_600_000 }),
    /** How far the guest may be slowed, step by step, where it changes memory faster than the line carries it. 0: never. */
    maxThrottlePercent: Type.Integer({ minimum: 0, maximum: 99, default: 80 }),
    /** Let the VM run at the destination before all of its memory is there. */
    postcopy: Type.Boolean({ default: false }),
  },
  { additionalProperties: false },
);
export type MigrationLimits = Static<typeof MigrationLimits>;

/** What may be changed while a migration runs. */
export const LimitsChange = Type.Object(
  {
    /** Of all channels together; 0 is without limit. */
    bandwidthBytesPerSecond: Type.Optional(Type.Integer({ minimum: 0 })),
    /** From the order to the grant, as in the order. */
    deadlineMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 86_400_000 })),
  },
  { additionalProperties: false, minProperties: 1 },
);
export type LimitsChange = Static<typeof LimitsChange>;

export const MigrationOrder = Type.Object(
  {
    /** Left out: the host that fits best. */
    to: Type.Optional(Name),
    /** Move without encryption; refused where the VM's mode is `required`. */
    clear: Type.Optional(Type.Boolean()),
    /** multifd channels beside the main one; 0 moves everything through the main one. */
    multifdChannels: Type.Optional(Type.Integer({ minimum: 0, maximum: 64 })),
    limits: Type.Optional(Type.Partial(MigrationLimits)),
    /** Disks that only the source has go with the VM; their files there stay all the same, and are nobody's then. */
    keepSourceDisks: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false, $id: 'MigrationOrder' },
);
export type MigrationOrder = Static<typeof MigrationOrder>;

/** Where a migration is. `failed` and `cancelled` mean that the VM runs on at the source; `lost` that its only current memory is gone. */
export const MigrationPhase = Type.Union([
  Type.Literal('preparing'),
  Type.Literal('connecting'),
  Type.Literal('copying'),
  Type.Literal('switching-over'),
  Type.Literal('granted'),
  Type.Literal('releasing'),
  Type.Literal('completed'),
  Type.Literal('cancelled'),
  Type.Literal('failed'),
  Type.Literal('in-doubt'),
  Type.Literal('lost'),
]);
export type MigrationPhase = Static<typeof MigrationPhase>;

export const finalPhases: readonly MigrationPhase[] = ['completed', 'cancelled', 'failed', 'lost'];

export const ChannelProgress = Type.Object({
  channel: Type.Integer({ minimum: 0 }),
  kind: Type.Union([Type.Literal('control'), Type.Literal('main'), Type.Literal('multifd'), Type.Literal('disk')]),
  /** Local bytes carried from source to destination, before sealing. */
  bytes: Bytes,
  records: Type.Integer({ minimum: 0 }),
});
export type ChannelProgress = Static<typeof ChannelProgress>;

/** A disk that moves with its VM. */
export const DiskProgress = Type.Object({
  /** As the definition names it. */
  disk: Type.String(),
  sizeBytes: Bytes,
  /** Data sent so far: what holes and zeroes stand for is not sent, and what the guest writes again is sent again. */
  sentBytes: Bytes,
  /** Not at the destination yet, as far as is known. */
  remainingBytes: Bytes,
});
export type DiskProgress = Static<typeof DiskProgress>;

export const MigrationProgress = Type.Object({
  phase: MigrationPhase,
  elapsedMs: Milliseconds,
  /** Everything handed to TCP: headers, tags and hellos as well. */
  bytesOnWire: Bytes,
  /** Over the last reporting interval. */
  throughputMBps: Type.Number({ minimum: 0, description: '10^6 bytes a second' }),
  ram: Type.Object({
    total: Bytes,
    transferred: Bytes,
    remaining: Bytes,
    dirtyBytesPerSecond: Type.Number({ minimum: 0 }),
    /** Passes over memory so far. */
    passes: Type.Integer({ minimum: 0 }),
  }),
  /** How much the guest is slowed, so that it changes memory more slowly, per cent. */
  throttlePercent: Type.Number({ minimum: 0 }),
  /** The switch-over budget as it is now: between the order's `downtimeMs` and `maxDowntimeMs`. */
  downtimeMs: Type.Optional(Milliseconds),
  channels: Type.Array(ChannelProgress),
  /** Missing: no disk is copied. */
  disks: Type.Optional(Type.Array(DiskProgress)),
});
export type MigrationProgress = Static<typeof MigrationProgress>;

/** `transport` is the worker threads' time, `qemu` that of QEMU's threads other than vCPUs. Seconds. */
export const CpuSeconds = Type.Object({ qemu: Type.Number({ minimum: 0 }), transport: Type.Number({ minimum: 0 }) });
export type CpuSeconds = Static<typeof CpuSeconds>;

export const MigrationResult = Type.Object({
  suite: Suite,
  /** TCP connections, channel 0 included. */
  channels: Type.Integer(),
  /** From the order being accepted to the destination running and the source released. */
  migrationMs: Milliseconds,
  /** Source vCPUs stopped to destination vCPUs running, on the source's clock. */
  switchOverMs: Milliseconds,
  /** Half of what the source cannot tell: from the grant to RUNNING, and how exactly it knows when QEMU stopped. The switch-over time is right within ± this. */
  switchOverErrorMs: Milliseconds,
  bytesOnWire: Bytes,
  records: Type.Integer(),
  throughputMBps: Type.Number({ description: '10^6 bytes a second, while the source was moving the VM' }),
  /** The destination's is missing where it could not be asked any more. */
  cpuSeconds: Type.Object({ source: CpuSeconds, destination: Type.Optional(CpuSeconds) }),
});
export type MigrationResult = Static<typeof MigrationResult>;

/** Why a migration ended without completing. */
export const MigrationFailure = Type.Object({
  /** A failure code of docs/protocol.md where the transport failed, else an error code of the API. */
  code: Type.String(),
  message: Type.String(),
  /** What to do about it, where the message does not say. */
  advice: Type.Optional(Type.String()),
});
export type MigrationFailure = Static<typeof MigrationFailure>;

/** How an administrator decided a migration whose hosts could not settle it. */
export const Resolution = Type.Object({
  keep: Keep,
  at: Timestamp,
  /** Hosts that have not heard of it yet. Each is told as soon as it answers, and gives up or keeps its copy then. */
  waitingFor: Type.Array(Name),
  /** What a host answered that cannot follow the decision, in words. */
  refused: Type.Optional(Type.Array(Type.String())),
});
export type Resolution = Static<typeof Resolution>;

export const Migration = Type.Object(
  {
    id: Uuid,
    vm: Name,
    from: Name,
    to: Name,
    suite: Suite,
    attempt: Type.Integer({ minimum: 1 }),
    phase: MigrationPhase,
    /** Said loudly where the VM moves or moved without encryption, and why. */
    clearBecause: Type.Optional(Type.String()),
    orderedAt: Timestamp,
    endedAt: Type.Optional(Timestamp),
    progress: Type.Optional(MigrationProgress),
    result: Type.Optional(MigrationResult),
    failure: Type.Optional(MigrationFailure),
    resolution: Type.Optional(Resolution),
  },
  { $id: 'Migration' },
);
export type Migration = Static<typeof Migration>;
