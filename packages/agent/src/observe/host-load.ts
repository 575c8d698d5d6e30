/** How busy the host is: its CPUs, and the links that migrations go over. */
import { readFile } from 'node:fs/promises';
import type { HostReport } from '@sealift/contract';
import { interfaceBytes, interfacesOf } from './links.ts';

interface Counters {
  /** Milliseconds, monotonic. */
  readonly at: number;
  readonly cpu: CpuTicks;
  /** By interface. */
  readonly links: ReadonlyMap<string, { readonly received: number; readonly sent: number }>;
}

export interface CpuTicks {
  readonly busy: number;
  readonly all: number;
}

export class HostLoad {
  readonly #addresses: readonly string[];
  #last: Counters | undefined;
  #load: HostReport['load'];

  /** @param addresses that sealed channels come in on */
  constructor(addresses: readonly string[]) {
    this.#addresses = addresses;
  }

  /** Over the time between the last two looks; undefined before there are two. */
  get load(): HostReport['load'] {
    return this.#load;
  }

  /** Never rejects: where the kernel does not say, nothing is said. */
  async look(): Promise<void> {
    try {
      const names = new Set(interfacesOf(this.#addresses));
      const links = [...(await interfaceBytes())].filter(([name]) => names.has(name));
      const now: Counters = {
        at: performance.now(),
        cpu: parseCpuTicks(await readFile('/proc/stat', 'utf8')),
        links: new Map(links),
      };
      if (this.#last) this.#load = loadBetween(this.#last, now) ?? this.#load;
      this.#last = now;
    } catch {
      this.#last = undefined;
      this.#load = undefined;
    }
  }
}

/** The first line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal guest guest_nice. Guests' time is in user's already. */
export function parseCpuTicks(stat: string): CpuTicks {
  const ticks = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').slice(0, 8).map(Number);
  const all = ticks.reduce((sum, value) => sum + value, 0);
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all };
}

/** A link carries as much in each direction: of both, the busier one counts. @returns undefined where no time has passed */
export function loadBetween(before: Counters, now: Counters): HostReport['load'] {
  const all = now.cpu.all - before.cpu.all;
  const seconds = (now.at - before.at) / 1000;
  if (all <= 0 || seconds <= 0) return undefined;
  let bytes = 0;
  for (const [name, { received, sent }] of now.links) {
    const old = before.links.get(name);
    // An interface that was made anew counts from zero.
    if (old) bytes += Math.max(0, received - old.received, sent - old.sent);
  }
  const share = (now.cpu.busy - before.cpu.busy) / all; // idle and iowait may go backwards a little
  return { cpu: Math.min(1, Math.max(0, share)), linkBytesPerSecond: bytes / seconds };
}
