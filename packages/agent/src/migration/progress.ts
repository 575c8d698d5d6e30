/** Progress of an outgoing migration: what QEMU says of memory, what the channels say of bytes. */
import type { ChannelProgress, DiskProgress, MigrationPhase, MigrationProgress } from '@sealift/contract';
import type { MigrationState } from '@sealift/hypervisor';
import type { Session } from '@sealift/transport';

const noRam: MigrationProgress['ram'] = { total: 0, transferred: 0, remaining: 0, dirtyBytesPerSecond: 0, passes: 0 };

const kindOf = (channel: number, firstDisk: number): ChannelProgress['kind'] =>
  channel === 0 ? 'control' : channel === 1 ? 'main' : channel < firstDisk ? 'multifd' : 'disk';

export class ProgressMeter {
  readonly #session: Session;
  readonly #budget: { readonly downtimeMs: number };
  readonly #startedAt = performance.now();
  #lastAt = this.#startedAt;
  #lastBytes = 0;
  #throughput = 0;
  #ram = noRam;
  #throttle = 0;
  #disks: readonly DiskProgress[] = [];

  /** @param budget as it is at any time */
  constructor(session: Session, budget: { readonly downtimeMs: number }) {
    this.#session = session;
    this.#budget = budget;
  }

  get elapsedMs(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  /** @param state what QEMU said last; without it, memory stands as it was */
  sample(phase: MigrationPhase, state?: MigrationState, disks: readonly DiskProgress[] = this.#disks): MigrationProgress {
    this.#disks = disks;
    const now = performance.now();
    const bytesOnWire = this.#session.bytesOnWire;
    if (now - this.#lastAt >= 100) {
      this.#throughput = (bytesOnWire - this.#lastBytes) / 1e3 / (now - this.#lastAt);
      this.#lastAt = now;
      this.#lastBytes = bytesOnWire;
    }
    if (state) {
      this.#ram = state.ram ?? this.#ram;
      this.#throttle = state.throttlePercent;
    }
    const { statistics, attempt } = this.#session;
    const firstDisk = attempt.channels - (attempt.disks ?? 0);
    return {
      phase,
      elapsedMs: this.elapsedMs,
      bytesOnWire,
      throughputMBps: this.#throughput,
      ram: this.#ram,
      throttlePercent: this.#throttle,
      downtimeMs: this.#budget.downtimeMs,
      ...(disks.length > 0 && { disks: [...disks] }),
      channels: Array.from({ length: statistics.channels }, (_, channel) => ({
        channel,
        kind: kindOf(channel, firstDisk),
        bytes: statistics.get(channel, 'outBytes'),
        records: statistics.get(channel, 'outRecords'),
      })),
    };
  }
}
