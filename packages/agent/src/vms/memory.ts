/** Room for VMs' memory. */
import { readFile } from 'node:fs/promises';
import { SealiftError } from '@sealift/contract';

export const MiB = 1024 * 1024;

export interface MemoryFacts {
  /** Bytes that VMs may take together. */
  readonly total: number;
  /** Bytes that one more VM could take. */
  readonly available: number;
  /** Bytes of the VMs that run here or are coming in. */
  readonly reserved: number;
}

interface Reservation {
  readonly bytes: number;
  readonly pid: number | undefined;
}

/** Memory of one host: an administrator's limit, or what Linux says is available. */
export class HostMemory {
  readonly #capBytes: number | undefined;
  readonly #reservations: () => readonly Reservation[];

  /** @param reservations what each VM that runs, starts or comes in may take at most, with its QEMU where there is one already */
  constructor(capMiB: number | undefined, reservations: () => readonly Reservation[]) {
    this.#capBytes = capMiB === undefined ? undefined : capMiB * MiB;
    this.#reservations = reservations;
  }

  async facts(): Promise<MemoryFacts> {
    const reservations = this.#reservations();
    const reserved = reservations.reduce((sum, { bytes }) => sum + bytes, 0);
    const host = await hostMemory();
    // A guest takes its memory as it touches it: what it has not touched yet still counts as available to Linux, but is promised.
    const promised = await Promise.all(
      reservations.map(async ({ bytes, pid }) => Math.max(0, bytes - (pid === undefined ? 0 : await resident(pid)))),
    );
    const physical = host.available - promised.reduce((sum, bytes) => sum + bytes, 0);
    const total = this.#capBytes ?? host.total;
    const left = this.#capBytes === undefined ? physical : Math.min(physical, this.#capBytes - reserved);
    return { total, available: Math.max(0, left), reserved };
  }

  /** @throws SealiftError `no_room` with the figures */
  async requireRoom(vm: string, bytes: number): Promise<void> {
    const { available, total, reserved } = await this.facts();
    if (bytes <= available) return;
    const mib = (value: number): string => `${Math.floor(value / MiB)} MiB`;
    throw new SealiftError(
      'no_room',
      `${vm} needs ${mib(bytes)} of memory and this host has ${mib(available)} left: ${mib(reserved)} of ${mib(total)} belong to other VMs`,
      { details: { neededBytes: bytes, availableBytes: available, reservedBytes: reserved, totalBytes: total } },
    );
  }
}

/** From /proc/meminfo (proc(5)), in bytes. */
async function hostMemory(): Promise<{ total: number; available: number }> {
  const text = await readFile('/proc/meminfo', 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return { total: field('MemTotal'), available: field('MemAvailable') };
}

/** VmRSS, in bytes; 0 for a process that is gone. */
async function resident(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}
