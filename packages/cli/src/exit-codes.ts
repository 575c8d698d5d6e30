/** With which status `sealift` ends, and how it says why. */
import type { ErrorCode, errorCodes } from '@sealift/contract';

/** 69 is EX_UNAVAILABLE of sysexits.h; 130 is what shells give for an end by Ctrl-C, 143 for one by SIGTERM. */
export type ExitCode = (typeof errorCodes)[ErrorCode]['exit'] | 0 | 69 | 130 | 143;

const meanings: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'a fault of sealift itself',
  2: 'the command or the request is not right; nothing was done',
  3: 'there is no such VM, host, migration, task, cluster or rule',
  4: 'not possible as things are; the message says what stands in the way',
  5: 'not allowed',
  6: 'the migration was cancelled, and the VM runs on at the source; or a task was',
  7: 'a migration, or a task of several, failed or ended badly; the message says where the VM is. A tunnel failed',
  8: 'QEMU is missing, too old, or did not do what it was asked',
  9: 'no answer from the manager, or from a host',
  10: 'the migration did not converge: the VM changes memory faster than its limits let it be carried, and runs on at the source',
  69: 'a daemon or a tunnel cannot start here; the message says what it lacks',
  130: 'left by Ctrl-C; what was ordered goes on, but a tunnel is aborted',
  143: 'a tunnel was aborted by SIGTERM',
};

export const meaningOf = (exit: ExitCode): string => meanings[exit];

/** A wrong command line, before anything was asked of a manager. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export async function exitCodesHelp(): Promise<string> {
  const { errorCodes } = await import('@sealift/contract');
  const lines = Object.entries(meanings).map(([exit, meaning]) => {
    const codes = Object.entries(errorCodes).filter(([, code]) => code.exit === Number(exit));
    const names = codes.length === 0 ? '' : `\n       ${codes.map(([name]) => name).join(', ')}`;
    return `  ${exit.padStart(3)}  ${meaning}${names}`;
  });
  return `Exit statuses of sealift, with the error codes of the API that lead to each:\n\n${lines.join('\n')}\n`;
}

export interface Complaint {
  readonly exit: number;
  /** For people; may have several lines. */
  readonly text: string;
  /** For programs, in the form that the API's errors have. */
  readonly body: { error: { code: string; message: string; details?: Record<string, unknown> } };
}

/** What to say of an error, and which status to end with. */
export async function complaintOf(error: unknown): Promise<Complaint> {
  if (error instanceof UsageError) {
    return { exit: 2, text: `sealift: ${error.message}`, body: { error: { code: 'invalid_request', message: error.message } } };
  }
  const { SealiftError, errorCodes } = await import('@sealift/contract');
  if (error instanceof SealiftError) {
    const hint = error.code === 'manager_unreachable' ? `\n${howToReachAManager}` : '';
    return { exit: errorCodes[error.code].exit, text: `sealift: ${error.message}${hint}`, body: error.toBody() };
  }
  const message = error instanceof Error ? error.message : String(error);
  const trace = error instanceof Error && error.stack ? error.stack : message;
  return { exit: 1, text: `sealift: this is a fault of sealift itself: ${trace}`, body: { error: { code: 'internal', message } } };
}

const howToReachAManager = `Is the manager running (sealift manager)? Where it is elsewhere, say so with --manager or SEALIFT_MANAGER:
  unix:/run/sealift/manager.sock   or   http://127.0.0.1:8650`;
