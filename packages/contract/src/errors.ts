/** The closed set of error codes that an API answers with, and the one error class that carries them. */
import { type Static, Type } from 'typebox';

/** Each code with the HTTP status it travels under and the exit status of the CLI (see `sealift help exit-codes`). */
export const errorCodes = {
  invalid_request: { status: 400, exit: 2 },
  not_authorised: { status: 403, exit: 5 },
  not_found: { status: 404, exit: 3 },
  already_exists: { status: 409, exit: 4 },
  /** The thing is there, but in a state in which the order makes no sense; the message names the state. */
  wrong_state: { status: 409, exit: 4 },
  /** A migration of this VM is running; `details.migration` names it. */
  migrating: { status: 409, exit: 4 },
  /** The destination is the host that the VM is on. */
  same_host: { status: 409, exit: 4 },
  /** Memory, disk space, a bridge or a port is missing at the host; the message says how much or which. */
  no_room: { status: 409, exit: 4 },
  /** The two hosts' QEMUs, machine types or CPUs cannot exchange this VM. */
  incompatible: { status: 409, exit: 4 },
  /** The VM must be sealed, and the order or a host would not. */
  encryption_required: { status: 409, exit: 4 },
  cancelled: { status: 409, exit: 6 },
  migration_failed: { status: 500, exit: 7 },
  /** The VM writes to memory faster than its migration's limits let it be carried, and runs on at the source. The message has the figures. */
  did_not_converge: { status: 500, exit: 10 },
  /** QEMU is missing, too old, or did not do what it was asked. */
  hypervisor: { status: 502, exit: 8 },
  agent_unreachable: { status: 503, exit: 9 },
  /** Made by clients only: there was no manager to answer. */
  manager_unreachable: { status: 503, exit: 9 },
  internal: { status: 500, exit: 1 },
} as const satisfies Record<string, { status: number; exit: number }>;

export type ErrorCode = keyof typeof errorCodes;

export const ErrorBody = Type.Object(
  {
    error: Type.Object({
      code: Type.Unsafe<ErrorCode>({ type: 'string', enum: Object.keys(errorCodes) }),
      message: Type.String({ description: 'What went wrong, in words, with what to do about it where that is known' }),
      details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    }),
  },
  { $id: 'Error' },
);
export type ErrorBody = Static<typeof ErrorBody>;

/** What a handler throws and a client rejects with. */
export class SealiftError extends Error {
  readonly code: ErrorCode;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SealiftError';
    this.code = code;
    this.details = options.details;
  }

  get status(): number {
    return errorCodes[this.code].status;
  }

  toBody(): ErrorBody {
    return { error: { code: this.code, message: this.message, ...(this.details && { details: this.details }) } };
  }
}
