/** SEALIFT_UNSAFE_KEYLOG: writes the secrets of every migration to a file, for debugging with a capture. Off, and hard to turn on. */
import { constants, openSync } from 'node:fs';
import type { Logger } from 'pino';
import { CannotStart, reasonOf } from './cannot-start.ts';

export const keylogVariable = 'SEALIFT_UNSAFE_KEYLOG';

/**
 * @param file the variable's value; undefined where it is not set
 * @param unsafe whether the agent was started with --unsafe
 * @returns a descriptor opened for appending, mode 0600; undefined where nothing is to be logged
 * @throws CannotStart
 */
export function openKeylog(file: string | undefined, unsafe: boolean): number | undefined {
  if (file === undefined || file === '') return undefined;
  if (!unsafe) {
    throw new CannotStart(
      `${keylogVariable} is set: it would write the keys of every migration to ${file}. Unset it, or start the agent with --unsafe if that is what you want`,
    );
  }
  try {
    return openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    throw new CannotStart(`${keylogVariable}: ${file} cannot be opened: ${reasonOf(error)}`, { cause: error });
  }
}

export function warnOfKeylog(file: string, log: Logger): void {
  log.warn({ file }, 'THE KEYS OF EVERY MIGRATION ARE WRITTEN TO A FILE: whoever reads it can read every VM that moves');
}
