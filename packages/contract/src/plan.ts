/** What would happen if a VM were moved, and why: every check with its verdict, every host that was considered. */
import { type Static, Type } from 'typebox';
import { MigrationLimits, Suite } from './migration.ts';
import { Bytes, Milliseconds, Name, Timestamp } from './names.ts';

export const CheckName = Type.Union([
  Type.Literal('vm-state'),
  Type.Literal('host-state'),
  Type.Literal('encryption'),
  Type.Literal('protocol'),
  Type.Literal('qemu-version'),
  Type.Literal('machine-type'),
  Type.Literal('accelerator'),
  Type.Literal('cpu'),
  Type.Literal('memory'),
  Type.Literal('networks'),
  Type.Literal('disks'),
  Type.Literal('devices'),
  Type.Literal('rules'),
  Type.Literal('concurrency'),
]);
export type CheckName = Static<typeof CheckName>;

export const Check = Type.Object({
  name: CheckName,
  /** `warn` lets the migration pass; `wait` lets it pass later, by itself; `fail` does not. */
  verdict: Type.Union([Type.Literal('pass'), Type.Literal('warn'), Type.Literal('wait'), Type.Literal('fail')]),
  /** In words, naming VM and host. */
  reason: Type.String(),
  /** What to do about it; always there with `fail`. */
  remedy: Type.Optional(Type.String()),
});
export type Check = Static<typeof Check>;

export const HostLoad = Type.Object({
  /** 0 is idle, 1 is full; more is promised than there is. */
  cpu: Type.Number({ minimum: 0 }),
  memory: Type.Number({ minimum: 0 }),
  /** Of the migration links. */
  link: Type.Number({ minimum: 0 }),
});
export type HostLoad = Static<typeof HostLoad>;

export const Candidate = Type.Object({
  host: Name,
  eligible: Type.Boolean(),
  checks: Type.Array(Check),
  /** Lower is better; only where it is eligible. */
  score: Type.Optional(Type.Number()),
  /** With the VM on it. */
  load: Type.Optional(HostLoad),
});
export type Candidate = Static<typeof Candidate>;

/** What moving it will take, from its memory and the links' speed. Roughly. */
export const MigrationEstimate = Type.Object({ bytes: Bytes, ms: Milliseconds });

export const MigrationPlan = Type.Object(
  {
    vm: Name,
    from: Name,
    /** Missing where no host will do. */
    to: Type.Optional(Name),
    suite: Type.Optional(Suite),
    /** Said loudly where it would move without encryption, and why. */
    clearBecause: Type.Optional(Type.String()),
    /** Why this host, or why none, in words. */
    why: Type.String(),
    /** For the destination, or, where the order named one that will not do, for that one. */
    checks: Type.Array(Check),
    /** Every host that was considered, the best first; only the one that the order names where it names one. */
    candidates: Type.Array(Candidate),
    multifdChannels: Type.Integer({ minimum: 0 }),
    limits: MigrationLimits,
    estimate: Type.Optional(MigrationEstimate),
    at: Timestamp,
  },
  { $id: 'MigrationPlan' },
);
export type MigrationPlan = Static<typeof MigrationPlan>;

/** One move of a drain or a balance. */
export const Move = Type.Object({
  vm: Name,
  from: Name,
  to: Name,
  suite: Suite,
  clearBecause: Type.Optional(Type.String()),
  why: Type.String(),
  estimate: Type.Optional(MigrationEstimate),
});
export type Move = Static<typeof Move>;

export const DrainPlan = Type.Object({
  host: Name,
  /** In the order in which they begin: the highest impact last. */
  moves: Type.Array(Move),
  /** What cannot leave, and why. */
  stays: Type.Array(Type.Object({ vm: Name, candidates: Type.Array(Candidate), why: Type.String() })),
  at: Timestamp,
});
export type DrainPlan = Static<typeof DrainPlan>;

export const BalancePlan = Type.Object({
  cluster: Name,
  /** The fewest that bring every host within the band; none where it is not worth it. */
  moves: Type.Array(Move),
  before: Type.Array(Type.Object({ host: Name, load: HostLoad })),
  after: Type.Array(Type.Object({ host: Name, load: HostLoad })),
  /** Whether every host is within the band afterwards, and where not, why no move helps. */
  balanced: Type.Boolean(),
  why: Type.String(),
  at: Timestamp,
});
export type BalancePlan = Static<typeof BalancePlan>;

export const DrainOrder = Type.Object(
  {
    /** Of this drain; never more than the cluster's limits. */
    concurrent: Type.Optional(Type.Integer({ minimum: 1, maximum: 128 })),
    /** For each migration, as in an order of one. */
    limits: Type.Optional(Type.Partial(MigrationLimits)),
  },
  { additionalProperties: false },
);
export type DrainOrder = Static<typeof DrainOrder>;
