import { QmpError } from './error.ts';
import { DEFAULT_DEADLINE_MS, type ExecuteOptions } from './vocabulary.ts';

/**
 * Waits, but no longer than the deadline or until the caller gives up; then what is waited for rejects, `timeout` or `aborted`.
 * @param what is waited for, in the words of the error message
 * @param hint what the deadline's passing may mean
 */
export async function limited<T>(waiting: PromiseWithResolvers<T>, options: ExecuteOptions, what: string, hint = ''): Promise<T> {
  const { deadlineMs = DEFAULT_DEADLINE_MS, signal } = options;
  const late = () =>
    waiting.reject(new QmpError('timeout', `${what} has not come within ${Math.round(deadlineMs)} ms${hint && `; ${hint}`}`));
  const abort = () => waiting.reject(new QmpError('aborted', `${what} is no longer waited for`, { cause: signal?.reason }));
  const timer = setTimeout(late, deadlineMs);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  try {
    return await waiting.promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
