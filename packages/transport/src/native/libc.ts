/**
 * libc through koffi. Pointers are plain numbers (user-space addresses fit in 47 bits), so that address arithmetic and calls allocate
 * nothing. Calls answer as libc does; {@link errno} is read right after a failure. Always called through the table, whose functions a test of
 * failures replaces (testing/faults.ts).
 */
import koffi from 'koffi';
import { disown } from './descriptors.ts';

const lib = koffi.load(null);

// koffi types a function as taking `any`; these signatures are what the declarations beside them say.
const bind = <F>(declaration: string): F => lib.func(declaration) as F;

type Call<N extends number[]> = (...args: N) => number;

const close = bind<Call<[fd: number]>>('int close(int)');

export const libc = {
  socket: bind<Call<[domain: number, type: number, protocol: number]>>('int socket(int, int, int)'),
  bind: bind<Call<[fd: number, address: number, length: number]>>('int bind(int, uintptr_t, uint32_t)'),
  listen: bind<Call<[fd: number, backlog: number]>>('int listen(int, int)'),
  accept4: bind<Call<[fd: number, address: number, length: number, flags: number]>>('int accept4(int, uintptr_t, uintptr_t, int)'),
  connect: bind<Call<[fd: number, address: number, length: number]>>('int connect(int, uintptr_t, uint32_t)'),
  getsockname: bind<Call<[fd: number, address: number, length: number]>>('int getsockname(int, uintptr_t, uintptr_t)'),
  getpeername: bind<Call<[fd: number, address: number, length: number]>>('int getpeername(int, uintptr_t, uintptr_t)'),
  setsockopt: bind<Call<[fd: number, level: number, name: number, value: number, length: number]>>(
    'int setsockopt(int, int, int, uintptr_t, uint32_t)',
  ),
  getsockopt: bind<Call<[fd: number, level: number, name: number, value: number, length: number]>>(
    'int getsockopt(int, int, int, uintptr_t, uintptr_t)',
  ),
  shutdown: bind<Call<[fd: number, how: number]>>('int shutdown(int, int)'),
  close: (fd: number): number => {
    disown(fd);
    return close(fd);
  },
  poll: bind<Call<[fds: number, count: number, timeoutMs: number]>>('int poll(uintptr_t, unsigned long, int)'),
  epoll_create1: bind<Call<[flags: number]>>('int epoll_create1(int)'),
  epoll_ctl: bind<Call<[epoll: number, operation: number, fd: number, event: number]>>('int epoll_ctl(int, int, int, uintptr_t)'),
  epoll_wait: bind<Call<[epoll: number, events: number, count: number, timeoutMs: number]>>('int epoll_wait(int, uintptr_t, int, int)'),
  read: bind<Call<[fd: number, buffer: number, length: number]>>('long read(int, uintptr_t, size_t)'),
  write: bind<Call<[fd: number, buffer: number, length: number]>>('long write(int, uintptr_t, size_t)'),
  recv: bind<Call<[fd: number, buffer: number, length: number, flags: number]>>('long recv(int, uintptr_t, size_t, int)'),
  send: bind<Call<[fd: number, buffer: number, length: number, flags: number]>>('long send(int, uintptr_t, size_t, int)'),
  readv: bind<Call<[fd: number, vector: number, count: number]>>('long readv(int, uintptr_t, int)'),
  eventfd: bind<Call<[initial: number, flags: number]>>('int eventfd(unsigned int, int)'),
  clock_gettime: bind<Call<[clock: number, time: number]>>('int clock_gettime(int, uintptr_t)'),
  mmap: bind<(address: number, length: number, protection: number, flags: number, fd: number, offset: number) => number>(
    'uintptr_t mmap(uintptr_t, size_t, int, int, int, long)',
  ),
  munmap: bind<Call<[address: number, length: number]>>('int munmap(uintptr_t, size_t)'),
  mlock: bind<Call<[address: number, length: number]>>('int mlock(uintptr_t, size_t)'),
  madvise: bind<Call<[address: number, length: number, advice: number]>>('int madvise(uintptr_t, size_t, int)'),
  prctl: bind<Call<[option: number, a: number, b: number, c: number, d: number]>>(
    'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
  ),
  syscall: bind<Call<[number: number, a: number, b: number, c: number]>>('long syscall(long, long, long, long)'),
  setrlimit: bind<Call<[resource: number, limits: number]>>('int setrlimit(int, uintptr_t)'),
} as const;

/** The calling thread's errno, as its last failing libc call left it. */
export const errno = (): number => koffi.errno();

/** Linux numbers, the same on x86-64 and aarch64. */
export const E = {
  INTR: 4,
  AGAIN: 11,
  NOMEM: 12,
  NFILE: 23,
  MFILE: 24,
  PIPE: 32,
  CONNRESET: 104,
  NOBUFS: 105,
  NOTCONN: 107,
  INPROGRESS: 115,
} as const;

export const AF = { UNIX: 1, INET: 2, INET6: 10 } as const;
export const SOCK = { STREAM: 1, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
export const POLL = { IN: 1, OUT: 4, ERR: 8, HUP: 16 } as const;
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_WR = 1;
export const CLOCK_THREAD_CPUTIME_ID = 3;
