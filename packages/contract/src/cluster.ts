/** A cluster: hosts among which VMs are placed and balanced, and what holds for all of them. A host is in one; `default` is always there. */
import { type Static, Type } from 'typebox';
import { Name } from './names.ts';
import { EncryptionMode } from './vm.ts';

/** How many migrations may go on at once. What is left out follows from the migration links' speed: see docs/placement.md. */
export const ConcurrencyLimits = Type.Object(
  {
    /** Out of one host and into it, together. */
    perHost: Type.Optional(Type.Integer({ minimum: 1, maximum: 128 })),
    /** In the whole cluster. */
    perCluster: Type.Optional(Type.Integer({ minimum: 1, maximum: 4096 })),
  },
  { additionalProperties: false },
);
export type ConcurrencyLimits = Static<typeof ConcurrencyLimits>;

export const BalancePolicy = Type.Object(
  {
    /** Carry out what is proposed, without being asked. */
    auto: Type.Boolean({ default: false }),
    /** How far a host's load may be from the cluster's mean, in hundredths of a host, before a move is worth it. */
    bandPercent: Type.Number({ minimum: 1, maximum: 100, default: 15 }),
    /** A VM that was moved is left alone for this long, so that nothing swings to and fro. */
    restMs: Type.Integer({ minimum: 0, default: 600_000 }),
  },
  { additionalProperties: false },
);
export type BalancePolicy = Static<typeof BalancePolicy>;

const settings = {
  /** Of VMs whose definition does not say. */
  encryption: EncryptionMode,
  /** The CPU model that every host of the cluster must be able to give, as EVC is to vSphere. Its VMs should be defined with it. */
  cpuBaseline: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_.+-]{1,64}$' })),
  limits: ConcurrencyLimits,
  balance: BalancePolicy,
};

export const Cluster = Type.Object({ name: Name, ...settings, hosts: Type.Array(Name) });
export type Cluster = Static<typeof Cluster>;

/** What is left out stays as it is, or, in a new cluster, becomes the default. `cpuBaseline: null` takes it away. */
export const ClusterChange = Type.Object(
  {
    encryption: Type.Optional(EncryptionMode),
    cpuBaseline: Type.Optional(Type.Union([settings.cpuBaseline, Type.Null()])),
    limits: Type.Optional(ConcurrencyLimits),
    balance: Type.Optional(Type.Partial(BalancePolicy)),
  },
  { additionalProperties: false },
);
export type ClusterChange = Static<typeof ClusterChange>;

/** Which VMs belong on the same host, on different ones, or on some hosts only. */
export const Rule = Type.Object(
  {
    name: Name,
    kind: Type.Union([Type.Literal('together'), Type.Literal('apart'), Type.Literal('on-hosts'), Type.Literal('not-on-hosts')]),
    vms: Type.Array(Name, { minItems: 1, maxItems: 1024 }),
    /** For `on-hosts` and `not-on-hosts`. */
    hosts: Type.Array(Name, { default: [], maxItems: 1024 }),
    /** A host that would break it is no candidate; otherwise it only counts against the host. */
    must: Type.Boolean({ default: false }),
  },
  { additionalProperties: false, $id: 'Rule' },
);
export type Rule = Static<typeof Rule>;
