/** One agent a state directory: two would both own its VMs and its journal. */
import { closeSync, constants, openSync } from 'node:fs';
import koffi from 'koffi';
import { CannotStart, reasonOf } from './cannot-start.ts';

// flock(2); the values are Linux's on every architecture.
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the lock, which the kernel lets go of when this process ends, however that comes. QEMUs do not inherit it: Node.js opens with O_CLOEXEC.
 * @returns what lets go of it earlier
 * @throws CannotStart where another process holds it
 */
export function lock(file: string, whose: string): () => void {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    throw new CannotStart(`${file} cannot be opened for writing: ${reasonOf(error)}`, { cause: error });
  }
  const flock = koffi.load(null).func('int flock(int fd, int operation)');
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(fd);
    throw new CannotStart(`another agent runs on ${whose}; stop it first, or give this one a directory of its own`);
  }
  return () => closeSync(fd);
}
