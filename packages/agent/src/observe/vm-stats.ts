/** What each VM of this host takes of it, and what keeps it from moving: looked at every few seconds, so that a report waits for no QEMU. */
import type { AgentVm, VmStats } from '@sealift/contract';
import { followsHost, type ProcessId, processUse, queryDiskBytes, queryObstacles } from '@sealift/hypervisor';
import type { VmHost } from '../vms/host.ts';
import { tapName } from '../vms/network.ts';
import type { Vm } from '../vms/vm.ts';
import { type InterfaceBytes, interfaceBytes } from './links.ts';

/** While a QEMU has not answered, it is not asked again. */
const askMs = 60_000;

export interface VmCounters {
  readonly process: ProcessId;
  /** Milliseconds, monotonic. */
  readonly at: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly disk: { readonly read: number; readonly written: number };
  /** As the guest sees it. */
  readonly network: { readonly received: number; readonly sent: number };
}

interface Seen {
  readonly counters: VmCounters | undefined;
  readonly stats: VmStats | undefined;
  readonly obstacles: readonly string[];
}

export class VmWatch {
  readonly #vms: Pick<VmHost, 'list' | 'find'>;
  readonly #seen = new Map<Vm, Seen>();
  readonly #asking = new Set<Vm>();

  constructor(vms: Pick<VmHost, 'list' | 'find'>) {
    this.#vms = vms;
  }

  /** What a report says beside the VM's own account. Missing while unknown. */
  of(vm: Vm): Pick<AgentVm, 'stats' | 'immovable'> {
    const seen = this.#seen.get(vm);
    const { cpuModel } = vm.definition;
    const immovable = [
      ...(followsHost(cpuModel) ? [`its CPU model, ${cpuModel}, is whatever the host has; stop it and give it a named one`] : []),
      ...(seen?.obstacles ?? []),
    ];
    const stats = vm.process && seen?.counters && same(seen.counters.process, vm.process) ? seen.stats : undefined;
    return { ...(stats && { stats }), ...(immovable.length > 0 && { immovable }) };
  }

  /** Resolves when every QEMU that answers has. Never rejects. */
  async look(): Promise<void> {
    for (const vm of this.#seen.keys()) if (this.#vms.find(vm.name) !== vm) this.#seen.delete(vm);
    const taps = await interfaceBytes().catch(() => new Map<string, InterfaceBytes>());
    await Promise.all(
      this.#vms
        .list()
        .filter((vm) => !this.#asking.has(vm))
        .map(async (vm) => {
          this.#asking.add(vm);
          try {
            this.#seen.set(vm, await this.#lookAt(vm, taps));
          } catch {
            this.#seen.delete(vm); // its QEMU went, or does not answer
          } finally {
            this.#asking.delete(vm);
          }
        }),
    );
  }

  async #lookAt(vm: Vm, taps: ReadonlyMap<string, InterfaceBytes>): Promise<Seen> {
    const { process, moving } = vm;
    const before = this.#seen.get(vm);
    const nothing: Seen = { counters: undefined, stats: undefined, obstacles: [] };
    const use = process && (await processUse(process));
    if (!use) return nothing;
    const network = { received: 0, sent: 0 };
    for (const index of vm.definition.nics.keys()) {
      const bytes = taps.get(tapName(vm.name, index));
      network.received += bytes?.sent ?? 0; // what the host sends into the tap is what the guest receives
      network.sent += bytes?.received ?? 0;
    }
    // While it moves, its QEMU's time is the migration's: nothing is asked of it.
    const quiet = moving !== undefined;
    const askDisks = vm.definition.disks.length > 0;
    if (quiet && askDisks) return { ...nothing, obstacles: before?.obstacles ?? [] };
    const options = { deadlineMs: askMs };
    const disk = askDisks ? await queryDiskBytes(vm.monitor, options) : { read: 0, written: 0 };
    const obstacles = quiet ? (before?.obstacles ?? []) : await queryObstacles(vm.monitor, options);
    const counters: VmCounters = { process, at: use.at, cpuSeconds: use.cpuSeconds, residentBytes: use.residentBytes, disk, network };
    return { counters, stats: before?.counters && statsBetween(before.counters, counters), obstacles };
  }
}

const same = (a: ProcessId, b: ProcessId): boolean => a.pid === b.pid && a.startTicks === b.startTicks;

/** @returns undefined where they are not of one QEMU, or no time has passed */
export function statsBetween(before: VmCounters, now: VmCounters): VmStats | undefined {
  const seconds = (now.at - before.at) / 1000;
  if (!same(before.process, now.process) || seconds <= 0) return undefined;
  const rate = (from: number, to: number): number => Math.max(0, to - from) / seconds; // a tap that was made anew counts from zero
  return {
    cpus: rate(before.cpuSeconds, now.cpuSeconds),
    residentBytes: now.residentBytes,
    diskBytesPerSecond: { read: rate(before.disk.read, now.disk.read), written: rate(before.disk.written, now.disk.written) },
    networkBytesPerSecond: {
      received: rate(before.network.received, now.network.received),
      sent: rate(before.network.sent, now.network.sent),
    },
  };
}
