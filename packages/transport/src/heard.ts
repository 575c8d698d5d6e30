/** What the peer says on channel 0, as the handover sees it. docs/protocol.md "control records". */
import { type Role, recordType } from './constants.ts';
import { TransportError } from './errors.ts';
import type { Attempt } from './keys/context.ts';
import { decodeGrant, type Grant } from './record/control.ts';

/** A control record of the peer's, on channel 0. `at` is process.hrtime.bigint() when it was opened. */
export type ControlMessage =
  | { readonly type: 'grant'; readonly grant: Grant; readonly at: bigint }
  | { readonly type: 'running'; readonly at: bigint }
  | { readonly type: 'aborted'; readonly at: bigint };

export interface SessionHandlers {
  /** Called in the order of arrival. */
  control(message: ControlMessage): void;
  /**
   * Called at most once, before any promise of the session rejects. The session waits for `abort` or `drop`;
   * {@link SessionHandlers.control} may still be called until then, with ABORTED above all.
   */
  failed(error: TransportError): void;
  /** On demand only: a data channel has begun or ended. */
  channels?(open: number): void;
}

/**
 * @param role whose side this is
 * @returns TransportError `record` for one that its peer never says, or not so
 */
export function controlMessage(
  type: number,
  payload: Uint8Array,
  at: bigint,
  role: Role,
  attempt: Attempt,
): ControlMessage | TransportError | undefined {
  if (type === recordType.aborted) return { type: 'aborted', at };
  if (type === recordType.running) {
    if (role === 'source') return { type: 'running', at };
    return new TransportError('record', 'RUNNING came from the source, which never says it');
  }
  if (type !== recordType.grant) return undefined;
  const grant = role === 'destination' ? decodeGrant(Buffer.from(payload), attempt.channels) : undefined;
  if (grant && (!grant.postcopy || attempt.limits.postcopy)) return { type: 'grant', grant, at };
  return new TransportError('record', 'GRANT is malformed, by post-copy without an order for it, or came from the destination');
}
