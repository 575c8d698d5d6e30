/** What a process that holds keys asks of the kernel. docs/adr tells what this keeps, and what not. */
import { TransportError } from '../errors.ts';
import { errno, libc } from './libc.ts';
import { allocate, freeMemory, nameOf } from './memory.ts';

const RLIMIT_CORE = 4;
const PR_SET_DUMPABLE = 4;

/**
 * No core dump of this process is ever written, to a file or to a handler, and no other process of the same user can read its memory (prctl(2),
 * core(5)). The limit is inherited by child processes, the other is not. To be called before any key is there.
 *
 * @throws TransportError `local` where the kernel refuses
 */
export function hardenProcess(): void {
  const none = allocate(16);
  try {
    if (libc.setrlimit(RLIMIT_CORE, none.address) !== 0) throw refused('RLIMIT_CORE');
    if (libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) throw refused('PR_SET_DUMPABLE');
  } finally {
    freeMemory(none);
  }
}

const refused = (what: string): TransportError =>
  new TransportError('local', `core dumps could not be switched off (${what}): ${nameOf(errno())}`);
