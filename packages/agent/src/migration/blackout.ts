/**
 * How long a VM stood still, on the source's clock alone, and within which error: from what the source itself saw before and after each end of it. No other
 * host's clock is believed, and no host's haste: an agent that was kept waiting widens the error.
 */
import type { QmpEvent } from '@sealift/hypervisor';

/** Of process.hrtime.bigint(): not before, and not after. */
export interface Moment {
  readonly earliest: bigint;
  readonly latest: bigint;
}

/** Milliseconds. The VM stood still for `switchOverMs` ± `switchOverErrorMs`. */
export interface SwitchOver {
  readonly switchOverMs: number;
  readonly switchOverErrorMs: number;
}

/** A stamp further back was made before the clock was set. */
const longestLagMs = 1000;

/** This host's. */
interface Clocks {
  /** process.hrtime.bigint() */
  readonly monotonic: () => bigint;
  /** Whole milliseconds, as Date.now(). */
  readonly wall: () => number;
}

const clocksHere: Clocks = { monotonic: () => process.hrtime.bigint(), wall: () => Date.now() };

/**
 * When an event of a QEMU on this host happened. It was handed over later, by as much as this process was busy: QEMU's own stamp is of this host's wall
 * clock, so it tells by how much. Call it as the event comes.
 */
export function momentOf(event: Pick<QmpEvent, 'qemuMicroseconds' | 'receivedAt'>, clocks = clocksHere): Moment {
  const { qemuMicroseconds, receivedAt } = event;
  const before = clocks.monotonic();
  const leastLagMs = clocks.wall() - qemuMicroseconds / 1000;
  const after = clocks.monotonic();
  // Not a number where QEMU could not tell; negative where the clock was set back.
  if (!(leastLagMs > -1 && leastLagMs < longestLagMs)) return { earliest: receivedAt, latest: receivedAt };
  const notAfterReceived = (at: bigint) => (at < receivedAt ? at : receivedAt);
  // The wall clock was read at some moment between the two, and at some moment of its millisecond.
  return { earliest: notAfterReceived(before - nanoseconds(leastLagMs + 1)), latest: notAfterReceived(after - nanoseconds(leastLagMs)) };
}

export class Blackout {
  #grantedAt: bigint | undefined;
  #runningAt: bigint | undefined;

  /** GRANT is recorded and about to be sent: the VM has not run at the destination yet. */
  granted(): void {
    this.#grantedAt ??= process.hrtime.bigint();
  }

  /** @param at when RUNNING came: the VM has run by then. Where that is heard later, in settling, nobody knows when it began to */
  ran(at: bigint): void {
    this.#runningAt ??= at;
  }

  /** Nothing where the VM stood still before already, or nobody knows when it began to run. Milliseconds. */
  lasted(stopped: Moment | undefined): SwitchOver | undefined {
    if (!stopped || this.#runningAt === undefined) return undefined;
    const most = milliseconds(stopped.earliest, this.#runningAt);
    const least = this.#grantedAt === undefined ? 0 : Math.max(0, milliseconds(stopped.latest, this.#grantedAt));
    return { switchOverMs: (most + least) / 2, switchOverErrorMs: (most - least) / 2 };
  }
}

const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms * 1e6));
const milliseconds = (from: bigint, to: bigint): number => Number(to - from) / 1e6;
