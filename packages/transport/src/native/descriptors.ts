/**
 * Which thread of a pool answers for a descriptor. Descriptors are the process's, so one that a dead thread held would stay open; the main
 * thread closes it instead. One byte for each descriptor: 0 for the main thread (or nobody), else the thread's number.
 */

/** Linux's default ceiling of descriptors a process (fs.nr_open). What lies beyond is only not taken care of. */
const mostDescriptors = 2 ** 20;

export const newOwners = (): SharedArrayBuffer => new SharedArrayBuffer(mostDescriptors);

let owners: Uint8Array | undefined;
let self = 0;

/** A worker's first act: from here on it writes down what it opens. */
export function adoptOwners(buffer: SharedArrayBuffer, thread: number): void {
  owners = new Uint8Array(buffer);
  self = thread;
}

/** This thread has opened it. @returns the same, so that a call can be wrapped; negative ones are errors and pass through */
export function own(fd: number): number {
  if (owners && fd >= 0) owners[fd] = self;
  return fd;
}

/** Before closing: afterwards the number may be somebody else's already. */
export function disown(fd: number): void {
  if (owners) owners[fd] = 0;
}

/** Of the main thread: who is to answer for it from now on. */
export function assign(buffer: SharedArrayBuffer, fd: number, thread: number): void {
  new Uint8Array(buffer)[fd] = thread;
}

/** Takes what a thread still answers for. */
export function takeOwned(buffer: SharedArrayBuffer, thread: number): number[] {
  const table = new Uint8Array(buffer);
  const found: number[] = [];
  for (let fd = table.indexOf(thread); fd >= 0; fd = table.indexOf(thread, fd + 1)) {
    table[fd] = 0;
    found.push(fd);
  }
  return found;
}
