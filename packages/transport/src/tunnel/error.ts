/** What keeps a tunnel from beginning. What ends one that has begun is a TransportError. */

/** `usage`: the command line or the spec is not right. `unavailable`: this host lacks what the tunnel needs. */
export type TunnelErrorCode = 'usage' | 'unavailable';

export class TunnelError extends Error {
  readonly code: TunnelErrorCode;

  constructor(code: TunnelErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'TunnelError';
    this.code = code;
  }
}

/** The system's words for an error, short: `EACCES: permission denied`. */
export const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message.replace(/, [a-z]+( '.*')?$/, '') : String(error);
