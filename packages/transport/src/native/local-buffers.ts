/**
 * Room in unix sockets. What a unix socket holds is charged to the end that sends, so the room of QEMU's stream towards this process is QEMU's
 * own SO_SNDBUF, which QEMU leaves at net.core.wmem_default: 208 KiB, less than half of a multifd packet, so that its threads and ours wake each
 * other several times for each packet. docs/adr/0013 says what more room gives.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { tunables } from '../tunables.ts';
import { own } from './descriptors.ts';
import { libc } from './libc.ts';
import { allocate, freeMemory, type Memory } from './memory.ts';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_PEERCRED = 17;
const SO_SNDBUFFORCE = 32;
/** The same numbers on x86-64 and aarch64. glibc has functions for them from 2.36 only. */
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const nameBytes = 110;

/** Of the end that this process writes to. Where the host allows no more, it stays as it is. */
export function enlargeLocal(fd: number): void {
  const scratch = allocate(16);
  try {
    enlarge(fd, scratch);
  } finally {
    freeMemory(scratch);
  }
}

/**
 * Of the end that another program writes to: the socket of the process that connected to `fd`'s listener is opened here once more by pidfd_getfd(2), set,
 * and closed. That takes the rights over it that a debugger has, which an agent has over its QEMUs. Without them, and in every other case where it
 * cannot be done, all stays as it is, only slower.
 *
 * @param fd accepted from a listener that has a path
 * @returns how many sockets of that process, connected to that path, were given room
 */
export function enlargePeer(fd: number): number {
  const scratch = allocate(512);
  let process = -1;
  try {
    const pid = peerPid(fd, scratch);
    const path = nameOf(fd, 'own', scratch);
    if (pid <= 0 || pid === globalThis.process.pid || path === undefined) return 0;
    process = own(libc.syscall(SYS_pidfd_open, pid, 0, 0));
    if (process < 0) return 0;
    let enlarged = 0;
    for (const theirs of socketsOf(pid)) {
      const duplicate = own(libc.syscall(SYS_pidfd_getfd, process, theirs, 0));
      if (duplicate < 0) continue;
      // Only sockets that are connected to this very listener: nothing else of that process is touched, whoever has its number by now.
      if (nameOf(duplicate, 'peer', scratch) === path && enlarge(duplicate, scratch)) enlarged++;
      libc.close(duplicate);
    }
    return enlarged;
  } finally {
    if (process >= 0) libc.close(process);
    freeMemory(scratch);
  }
}

/** @returns whether it has the room now; one that has more keeps it */
function enlarge(fd: number, { address, bytes }: Memory): boolean {
  const view = new DataView(bytes.buffer);
  view.setUint32(8, 4, true);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_SNDBUF, address, address + 8) !== 0) return false;
  // The kernel tells, and keeps, twice of what it is told: socket(7).
  if (view.getInt32(0, true) >= 2 * tunables.localBuffer) return true;
  view.setInt32(0, tunables.localBuffer, true);
  // Beyond net.core.wmem_max where CAP_NET_ADMIN allows it, else up to there.
  return libc.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, address, 4) === 0 || libc.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, address, 4) === 0;
}

/** @returns 0 where it is not known, such as for a process that this one's PID namespace does not have */
function peerPid(fd: number, { address, bytes }: Memory): number {
  const view = new DataView(bytes.buffer);
  view.setUint32(128, 12, true);
  return libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, address, address + 128) === 0 ? view.getInt32(0, true) : 0;
}

/** @returns the sockaddr, or `undefined` where the socket has none or no name in it */
function nameOf(fd: number, whose: 'own' | 'peer', { address, bytes }: Memory): string | undefined {
  const view = new DataView(bytes.buffer);
  view.setUint32(128, nameBytes, true);
  const result = (whose === 'own' ? libc.getsockname : libc.getpeername)(fd, address, address + 128);
  const length = view.getUint32(128, true);
  return result === 0 && length > 2 && length <= nameBytes ? Buffer.from(bytes.subarray(0, length)).toString('latin1') : undefined;
}

function socketsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .filter((fd) => isSocket(`/proc/${pid}/fd/${fd}`))
      .map(Number);
  } catch {
    // It has ended, or is somebody else's.
    return [];
  }
}

function isSocket(link: string): boolean {
  try {
    return readlinkSync(link).startsWith('socket:');
  } catch {
    return false;
  }
}
