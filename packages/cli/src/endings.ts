/** How a command ends that has said everything already. Loaded by commands when they run, so it may load the contract. */
import { type ErrorCode, errorCodes, SealiftError } from '@sealift/contract';

/** The person has left; what was ordered goes on. Ends with status 130. */
export class LeftWatching extends Error {
  override readonly name = 'LeftWatching';
}

/** What went wrong has been shown; what is left is the exit status. */
export class AlreadyTold extends SealiftError {
  override readonly name = 'AlreadyTold';
}

/** A failure's code where it is one of the API's; the transport's codes (`stalled`, …) are failed migrations. */
export const codeOf = (failure: { readonly code: string } | undefined): ErrorCode =>
  failure && Object.hasOwn(errorCodes, failure.code) ? (failure.code as ErrorCode) : 'migration_failed'; // a key of the table

/** Runs the work with a signal that Ctrl-C aborts. @throws LeftWatching with these words where it was pressed */
export async function untilInterrupted<T>(words: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const leaving = new AbortController();
  const onInterrupt = (): void => leaving.abort(new LeftWatching(words));
  process.on('SIGINT', onInterrupt);
  try {
    return await work(leaving.signal);
  } catch (error) {
    leaving.signal.throwIfAborted();
    throw error;
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}
