/**
 * Why a QMP conversation did not give an answer. `command`: QEMU refused, see {@link QmpError.qemuClass}. `timeout`: the deadline passed;
 * whether QEMU did it is unknown. `disconnected`: the connection ended or could not be made; the same is unknown of commands under way.
 * `protocol`: what was there does not speak QMP as documented. `aborted`: the caller's AbortSignal; `cause` is its reason.
 */
export type QmpErrorCode = 'command' | 'timeout' | 'disconnected' | 'protocol' | 'aborted';

/** The one error that a {@link Monitor} rejects with. */
export class QmpError extends Error {
  readonly code: QmpErrorCode;
  /** QEMU's error class, such as `GenericError` or `CommandNotFound`; only with code `command`. */
  readonly qemuClass: string | undefined;

  constructor(code: QmpErrorCode, message: string, options: { cause?: unknown; qemuClass?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'QmpError';
    this.code = code;
    this.qemuClass = options.qemuClass;
  }
}
