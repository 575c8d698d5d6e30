/** The one error class of this package. Its codes are stable: they stand in results, logs and events. */

/**
 * | code | meaning |
 * |---|---|
 * | `hello` | the channels could not be opened and proven before the deadline |
 * | `record` | a record that is not authentic, not in order, or not allowed where it came |
 * | `truncated` | a connection ended without an authenticated CLOSE |
 * | `stalled` | the peer’s host acknowledged nothing for longer than {@link tunables.stallMs} |
 * | `limit` | a bound of the protocol was reached |
 * | `totals` | what arrived is not what the other side says it sent |
 * | `peer` | the peer is silent, or said that it aborted |
 * | `local` | this host's own side failed: QEMU's socket, the file system, a worker thread |
 */
export type FailureCode = 'hello' | 'record' | 'truncated' | 'stalled' | 'limit' | 'totals' | 'peer' | 'local';

export class TransportError extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'TransportError';
    this.code = code;
  }
}
