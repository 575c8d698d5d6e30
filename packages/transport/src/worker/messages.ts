/** What the main thread and the workers say to each other. File descriptors are the process's, so a number hands one over: the receiver closes it. */

import type { Role, Suite } from '../constants.ts';
import type { FailureCode } from '../errors.ts';
import type { ChannelTotal } from '../record/control.ts';

/** To a pump: it drives channels that have been confirmed. */
export type PumpCommand =
  | {
      readonly kind: 'add';
      readonly session: number;
      readonly channel: number;
      readonly channels: number;
      readonly role: Role;
      readonly suite: Suite;
      readonly epochBits: number;
      /** Where to log secrets; for debugging only. */
      readonly keylog?: { readonly fd: number; readonly migration: string; readonly attempt: number };
      readonly wire: number;
      /** Source to destination, then destination to source; 32 bytes each. Taken: the pump wipes it. */
      readonly secrets: SharedArrayBuffer;
      readonly statistics: SharedArrayBuffer;
      /** A local connection is made whatever comes: an empty stream is not answered before. */
      readonly eager?: boolean;
      /** The end of the peer's stream is not handed on: docs/protocol.md "local streams". */
      readonly keepsLocalOpen?: boolean;
      /** The local program may close before it has read everything: docs/protocol.md "local streams". */
      readonly mayCloseEarly?: boolean;
    }
  | { readonly kind: 'attach'; readonly session: number; readonly channel: number; readonly role: Role; readonly local: number }
  /** A control record, on channel 0. */
  | { readonly kind: 'send'; readonly session: number; readonly type: number; readonly payload: Uint8Array }
  /** CLOSE on channel 0. */
  | { readonly kind: 'close'; readonly session: number }
  /** Closes and wipes all channels of the session; answered by `dropped`. */
  | { readonly kind: 'drop'; readonly session: number };

export type PumpReport =
  | { readonly kind: 'first-data'; readonly session: number; readonly channel: number }
  | { readonly kind: 'control'; readonly session: number; readonly type: number; readonly payload: Uint8Array; readonly at: bigint }
  /** The local stream has ended and CLOSE is queued behind its last byte. */
  | { readonly kind: 'close-queued'; readonly session: number; readonly channel: number; readonly total: ChannelTotal }
  /** The peer's CLOSE was right and all its bytes are in the local socket. */
  | { readonly kind: 'delivered'; readonly session: number; readonly channel: number; readonly total: ChannelTotal }
  /** Both directions are done; descriptors closed, keys gone. */
  | { readonly kind: 'ended'; readonly session: number; readonly channel: number }
  | { readonly kind: 'failed'; readonly session: number; readonly code: FailureCode; readonly message: string }
  | { readonly kind: 'dropped'; readonly session: number };

export interface Address {
  /** IPv4 or IPv6, numeric. */
  readonly host: string;
  readonly port: number;
}

/** What a hello needs to know of a session. The keys are {@link HelloKeys}: `hello`, then `dh`; 32 bytes each. */
export interface HelloSession {
  readonly session: number;
  readonly version: number;
  readonly migration: string;
  readonly attempt: number;
  readonly channels: number;
  readonly context: Uint8Array;
  readonly keys: SharedArrayBuffer;
}

/** To the gate: it opens connections, listens, and does hellos. */
export type GateCommand =
  | { readonly kind: 'listen'; readonly addresses: readonly Address[] }
  | { readonly kind: 'unlisten' }
  | ({ readonly kind: 'expect' } & HelloSession)
  /** Opens all channels, or these only; then it may come again for others. */
  | ({
      readonly kind: 'dial';
      readonly addresses: readonly Address[];
      readonly timeoutMs: number;
      readonly only?: readonly number[];
    } & HelloSession)
  /** Listens on a unix socket for the local streams of `count` of this session's channels, from channel `first` on. */
  | { readonly kind: 'listen-local'; readonly session: number; readonly path: string; readonly first: number; readonly count: number }
  /** Takes the local streams that wait still, and no more; answered by `local-unlistened`. */
  | { readonly kind: 'unlisten-local'; readonly session: number }
  /** The session's channels are all confirmed: wipes what hellos needed. */
  | { readonly kind: 'forget-keys'; readonly session: number }
  /** Ends whatever the gate still does for the session; answered by `forgotten`. */
  | { readonly kind: 'forget'; readonly session: number };

export type GateReport =
  | { readonly kind: 'listening'; readonly addresses: readonly Address[] }
  | { readonly kind: 'not-listening'; readonly message: string }
  | { readonly kind: 'local-listening'; readonly session: number; readonly first: number }
  /** A channel is proven; its descriptor and secrets go to a pump. */
  | {
      readonly kind: 'confirmed';
      readonly session: number;
      readonly channel: number;
      readonly wire: number;
      readonly secrets: SharedArrayBuffer;
    }
  /** The local stream of a channel was opened. */
  | { readonly kind: 'local'; readonly session: number; readonly channel: number; readonly local: number }
  | { readonly kind: 'local-unlistened'; readonly session: number }
  | { readonly kind: 'failed'; readonly session: number; readonly code: FailureCode; readonly message: string }
  | { readonly kind: 'forgotten'; readonly session: number };
