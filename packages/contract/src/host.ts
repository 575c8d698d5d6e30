/** A host: how the manager knows it, and what its agent reports. */
import { type Static, Type } from 'typebox';
import { Bytes, Endpoint, KeyHash, Name, Timestamp } from './names.ts';
import { AgentVm } from './vm.ts';

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
  /** What this agent was told to do that nobody should do in production, in words. */
  unsafe: Type.Optional(Type.Array(Type.String())),
  vms: Type.Array(AgentVm),
});
export type HostReport = Static<typeof HostReport>;

export const HostState = Type.Union([Type.Literal('connected'), Type.Literal('unreachable')]);

export const Host = Type.Object({
  name: Name,
  /** Where its agent answers. */
  endpoint: Endpoint,
  state: HostState,
  /** Why it is unreachable, in words. */
  problem: Type.Optional(Type.String()),
  lastSeenAt: Type.Optional(Timestamp),
  report: Type.Optional(HostReport),
  /** VMs that it has and the manager does not know. Nothing is done about them by itself. */
  unknownVms: Type.Optional(Type.Array(Name)),
});
export type Host = Static<typeof Host>;

export const HostRegistration = Type.Object({ name: Name, endpoint: Endpoint }, { additionalProperties: false });
export type HostRegistration = Static<typeof HostRegistration>;
