/** Why the manager cannot start, in one sentence for the person who started it. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The code of an error of Node's, such as `EADDRINUSE`. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
