/** EX_UNAVAILABLE of sysexits.h: the host lacks what the daemon needs. */
export const unavailable = 69;

/** The agent cannot run here as it was told to. Its message is one sentence for the administrator: what is wrong and what to do. */
export class CannotStart extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'CannotStart';
  }
}

/** The system's words for an error, short: `EACCES: permission denied`. */
export const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message.replace(/, [a-z]+( '.*')?$/, '') : String(error);
