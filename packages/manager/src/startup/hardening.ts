/** Keeps the manager's memory, where every migration's key is for a moment, out of core dumps. docs/adr/0005. */
import koffi from 'koffi';
import { StartupError } from './error.ts';

const RLIMIT_CORE = 4;
const PR_SET_DUMPABLE = 4;

/**
 * No core dump of this process is ever written, to a file or to a handler, and no other process of the same user can read its memory (prctl(2),
 * core(5)). To be called before any key is there.
 * @throws StartupError where the kernel refuses
 */
export function hardenProcess(): void {
  const libc = koffi.load(null);
  const setrlimit = libc.func('int setrlimit(int, const void *)');
  const prctl = libc.func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)');
  // A struct rlimit of two zeros: nothing now, and nothing later.
  if (setrlimit(RLIMIT_CORE, Buffer.alloc(16)) !== 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) {
    throw new StartupError(
      `core dumps, which would hold keys, could not be switched off (errno ${koffi.errno()}); start it without that restriction`,
    );
  }
}
