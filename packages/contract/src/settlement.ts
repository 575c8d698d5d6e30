/** How an attempt that is in doubt is settled: docs/handover.md "settlement". */
import { type Static, Type } from 'typebox';
import { base64url, Endpoint, KeyHash, Name, Uuid } from './names.ts';

/** The other host of an attempt, as an agent keeps it in its journal: by these it is asked, and its statements believed, without any key of the migration. */
export const Peer = Type.Object(
  {
    name: Name,
    keyHash: KeyHash,
    /** Of its agent's API. */
    endpoint: Endpoint,
  },
  { additionalProperties: false },
);
export type Peer = Static<typeof Peer>;

/**
 * What a host says of an attempt, for good:
 * `granted` (source) it gave the VM away, and will not run it unless the destination aborts or an administrator decides so;
 * `running` (destination) the VM is the destination's; `aborted` (either) this host will never again act on this attempt, so that the VM is
 * the source's.
 */
export const Verdict = Type.Union([Type.Literal('granted'), Type.Literal('running'), Type.Literal('aborted')]);
export type Verdict = Static<typeof Verdict>;

/** A verdict signed with the agent's certificate key, so that anyone may relay it. The signed bytes are defined in docs/handover.md "statements". */
export const Statement = Type.Object(
  {
    migration: Uuid,
    attempt: Type.Integer({ minimum: 1, maximum: 0xffffffff }),
    vm: Name,
    /** Who says it. */
    host: Name,
    verdict: Verdict,
    /** What the asker made up: shows that the statement was made after the question. */
    challenge: base64url(16),
    /** The agent's certificate, DER in base64url. */
    certificate: Type.String({ pattern: '^[A-Za-z0-9_-]+$', maxLength: 8192 }),
    signature: Type.String({ pattern: '^[A-Za-z0-9_-]+$', maxLength: 1024 }),
  },
  { additionalProperties: false, $id: 'Statement' },
);
export type Statement = Static<typeof Statement>;

/** Tells an agent what the other one says of an attempt, if it says anything, and asks what this one says. */
export const SettleRequest = Type.Object(
  { attempt: Type.Integer({ minimum: 1, maximum: 0xffffffff }), challenge: base64url(16), statement: Type.Optional(Statement) },
  { additionalProperties: false },
);
export type SettleRequest = Static<typeof SettleRequest>;

/** Without a statement where this host has not decided yet: ask again. */
export const SettleAnswer = Type.Object({ statement: Type.Optional(Statement) }, { additionalProperties: false });
export type SettleAnswer = Static<typeof SettleAnswer>;

export const Keep = Type.Union([Type.Literal('source'), Type.Literal('destination')], {
  description: "Whose copy of the VM is the VM from now on; the other host's is given up",
});
export type Keep = Static<typeof Keep>;

/** An administrator's decision, as the manager passes it on to each of the two agents. */
export const ResolveRequest = Type.Object(
  { attempt: Type.Integer({ minimum: 1, maximum: 0xffffffff }), keep: Keep },
  { additionalProperties: false },
);
export type ResolveRequest = Static<typeof ResolveRequest>;

/** An administrator's decision. @see Migration.resolution */
export const ResolutionOrder = Type.Object(
  { keep: Keep, confirm: Type.String({ description: "The VM's name, typed again: the decision can lose the VM or run it twice" }) },
  { additionalProperties: false, $id: 'ResolutionOrder' },
);
export type ResolutionOrder = Static<typeof ResolutionOrder>;
