/**
 * One direction of a line, as a calculation: frames go in with the time they came at, out comes when each arrives, if ever. No clock, no I/O.
 *
 *   offered ─► queue (bytes, tail drop) ─► sender (rate) ─► lost? ─► late? ─► delay + jitter ─► arrives
 *
 * Times are in milliseconds on the caller's clock, which never goes back.
 *
 * Several frames of one size may come as one packet (the kernel hands on up to 64 KiB of a TCP stream in one piece, with the size into which
 * to cut it). Rate, queue, loss and reordering are those of the frames; what stays together of a packet is a run, and arrives when its last frame does.
 */
import type { Seeded } from '../chaos/seeded.ts';
import { type Conditions, queueOf, reorderLagMs } from './conditions.ts';

/** Counted in frames, but for {@link carriedBytes}. Offered = carried + dropped + lost + cut. */
export interface Counts {
  offered: number;
  carried: number;
  /** Of frames, as the rate counts them. */
  carriedBytes: number;
  /** For want of room in the queue. */
  dropped: number;
  lost: number;
  /** Carried, but late. */
  late: number;
  /** Offered while the line was down. */
  cut: number;
}

export const noCounts = (): Counts => ({ offered: 0, carried: 0, carriedBytes: 0, dropped: 0, lost: 0, late: 0, cut: 0 });

/** A 64 KiB packet of the smallest segments that Linux makes (48 bytes of payload) has fewer frames. */
export const mostFrames = 2048;

export class Schedule {
  readonly counts: Counts = noCounts();
  /** What came of the last packet, for the first n entries, n as {@link offer} answered: frames [first, first + count) arrive at `due`. */
  readonly runs = {
    first: new Uint16Array(mostFrames),
    count: new Uint16Array(mostFrames),
    due: new Float64Array(mostFrames),
    late: new Uint8Array(mostFrames),
  };
  readonly #random: Seeded;
  readonly #jitter: Wander;
  #conditions: Conditions;
  #bytesPerMs = 0;
  #queueBytes = 0;
  /** When the sender has sent what it was given. */
  #free = 0;
  /** No frame in its order arrives before one that went ahead of it, whatever the conditions become. */
  #latest = 0;
  #latestLate = 0;

  constructor(conditions: Conditions, random: Seeded) {
    this.#random = random;
    this.#jitter = new Wander(random);
    this.#conditions = conditions;
    this.change(conditions);
  }

  /** From now on. What is in the queue or on its way keeps its time. */
  change(conditions: Conditions): void {
    this.#conditions = conditions;
    this.#bytesPerMs = conditions.bitsPerSecond / 8000;
    this.#queueBytes = queueOf(conditions);
  }

  /** Everything that is in the queue or on its way is gone: the caller has dropped it. */
  clear(now: number): void {
    this.#free = now;
    this.#latest = now;
    this.#latestLate = now;
  }

  /** Bytes that wait for the sender, with those that it is sending. */
  queued(now: number): number {
    return Math.max(0, this.#free - now) * this.#bytesPerMs;
  }

  /**
   * @param frames how many, at most {@link mostFrames}
   * @param bytes of each but the last
   * @param lastBytes of the last
   * @returns how many {@link runs} arrive; their times never go back, the late ones' and the others' each by themselves
   */
  offer(now: number, frames: number, bytes: number, lastBytes: number): number {
    const { counts, runs } = this;
    const { loss, reorder, rttMs, jitterMs, down } = this.#conditions;
    counts.offered += frames;
    if (down) {
      counts.cut += frames;
      return 0;
    }
    const delay = rttMs / 2 + this.#jitter.at(now, jitterMs);
    const room = this.#queueBytes / this.#bytesPerMs;
    let found = 0;
    let open = false;
    this.#free = Math.max(this.#free, now);
    for (let frame = 0; frame < frames; frame++) {
      const size = frame === frames - 1 ? lastBytes : bytes;
      const sending = size / this.#bytesPerMs;
      const fits = this.#free - now + sending <= room;
      if (fits) this.#free += sending;
      if (!fits || (loss > 0 && this.#random.next() < loss)) {
        if (fits) counts.lost++;
        else counts.dropped++;
        open = false;
        continue;
      }
      const late = reorder > 0 && this.#random.next() < reorder;
      if (!open || late) {
        runs.first[found] = frame;
        runs.count[found] = 0;
        runs.late[found] = late ? 1 : 0;
        found++;
        open = !late;
      }
      const at = found - 1;
      runs.count[at] = (runs.count[at] ?? 0) + 1;
      runs.due[at] = this.#arrival(this.#free + delay, late);
      counts.carried++;
      counts.carriedBytes += size;
      if (late) counts.late++;
    }
    return found;
  }

  #arrival(due: number, late: boolean): number {
    if (late) {
      this.#latestLate = Math.max(this.#latestLate, due + reorderLagMs);
      return this.#latestLate;
    }
    this.#latest = Math.max(this.#latest, due);
    return this.#latest;
  }
}

/**
 * A value between 0 and a limit that goes evenly from one random value to the next. At no time does it fall by more than half as fast as time
 * goes by, so that what is delayed by it stays in its order: a queue somewhere on the way that fills and empties.
 */
class Wander {
  readonly #random: Seeded;
  #from = 0;
  #to = 0;
  #start = Number.NEGATIVE_INFINITY;

  constructor(random: Seeded) {
    this.#random = random;
  }

  at(now: number, limit: number): number {
    if (limit === 0) return 0;
    const period = 2 * limit;
    if (now >= this.#start + 2 * period) {
      this.#to = this.#random.next();
      this.#start = now - period;
    }
    if (now >= this.#start + period) {
      this.#from = this.#to;
      this.#to = this.#random.next();
      this.#start += period;
    }
    return limit * (this.#from + (this.#to - this.#from) * ((now - this.#start) / period));
  }
}
