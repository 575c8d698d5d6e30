/** What the line needs of Linux, through koffi: TAP devices, memory at a fixed address, and waiting to the microsecond. */
import { closeSync, constants, openSync } from 'node:fs';
import { constants as system } from 'node:os';
import koffi from 'koffi';

const lib = koffi.load(null);

// koffi types a function as taking `any`; these signatures are what the declarations beside them say. Pointers are plain numbers, as in
// packages/transport: user-space addresses fit in 47 bits, and nothing is allocated per call.
const bind = <F>(declaration: string): F => lib.func(declaration) as F;
type Call<N extends number[]> = (...args: N) => number;

const libc = {
  ioctl: bind<Call<[fd: number, request: number, argument: number]>>('int ioctl(int, unsigned long, uintptr_t)'),
  mmap: bind<Call<[address: number, length: number, protection: number, flags: number, fd: number, offset: number]>>(
    'uintptr_t mmap(uintptr_t, size_t, int, int, int, long)',
  ),
  ppoll: bind<Call<[fds: number, count: number, timeout: number, signals: number]>>(
    'int ppoll(uintptr_t, unsigned long, uintptr_t, uintptr_t)',
  ),
  prctl: bind<Call<[option: number, a: number, b: number, c: number, d: number]>>(
    'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
  ),
} as const;

/** As read(2) and write(2) answer: bytes, or -1. */
export const read = bind<Call<[fd: number, address: number, length: number]>>('long read(int, uintptr_t, size_t)');
export const write = bind<Call<[fd: number, address: number, length: number]>>('long write(int, uintptr_t, size_t)');

const failed = (call: string): Error => {
  const code = koffi.errno();
  const name = Object.entries(system.errno).find(([, value]) => value === code)?.[0] ?? `errno ${code}`;
  return new Error(`${call}: ${name}`);
};

export interface Memory {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** Zeroed pages, taken from the machine only as they are touched; until the process ends. @throws Error */
export const reserveMemory = (length: number): Memory => {
  const readWrite = 3;
  const privateAnonymousNoReserve = 0x4022;
  const address = libc.mmap(0, length, readWrite, privateAnonymousNoReserve, -1, 0);
  // MAP_FAILED is the highest address.
  if (address > Number.MAX_SAFE_INTEGER) throw failed(`mmap of ${length} bytes`);
  return { address, bytes: new Uint8Array(koffi.view(BigInt(address), length)) };
};

// linux/if_tun.h
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TAP_NO_PI_VNET_HDR = 0x0002 | 0x1000 | 0x4000;
const TUN_F_CSUM_TSO4 = 0x01 | 0x02;

/**
 * A TAP device, in the network namespace of this process, gone when the descriptor is closed. It takes unfinished checksums and TCP segments of up
 * to 64 KiB over IPv4; the kernel cuts everything else to the MTU beforehand.
 * @throws Error when it is there already, or without the right to
 */
export const openTap = (name: string): number => {
  const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const { address, bytes } = scratch();
    bytes.write(name, 0, 15, 'latin1');
    bytes.writeUInt16LE(TAP_NO_PI_VNET_HDR, 16);
    if (libc.ioctl(fd, TUNSETIFF, address) !== 0) throw failed(`making the TAP device ${name}`);
    if (libc.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM_TSO4) !== 0) throw failed(`switching on the offloads of ${name}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
};

const scratch = (): { address: number; bytes: Buffer } => {
  const { address, bytes } = reserveMemory(4096);
  return { address, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) };
};

/** Waits until one of some descriptors can be read. */
export class Readable {
  readonly #memory = scratch();
  readonly #count: number;

  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    const POLLIN = 1;
    fds.forEach((fd, index) => {
      this.#memory.bytes.writeInt32LE(fd, 16 + 8 * index);
      this.#memory.bytes.writeInt16LE(POLLIN, 16 + 8 * index + 4);
    });
  }

  /** @param ms to wait at most; to the microsecond where {@link wakeOnTime} was called */
  wait(ms: number): void {
    const { address, bytes } = this.#memory;
    const nanoseconds = Math.max(0, Math.floor(ms * 1e6));
    bytes.writeUInt32LE(Math.floor(nanoseconds / 1e9), 0); // the upper half of the 64 bits stays 0
    bytes.writeUInt32LE(nanoseconds % 1e9, 8);
    libc.ppoll(address + 16, this.#count, address, 0);
  }
}

/** Of the calling thread: Linux otherwise lets a sleeper sleep 50 µs longer than it asked for, to save wake-ups (PR_SET_TIMERSLACK). */
export const wakeOnTime = (): void => {
  const PR_SET_TIMERSLACK = 29;
  libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
};
