/** One direction of a line in operation: packets read at one end, kept while they are on their way, written at the other. */
import { type Conditions, queueOf, reorderLagMs } from './conditions.ts';
import type { Memory } from './kernel.ts';
import { copyRun, longestPacket, runBytes, type Shape, shapeOf } from './packet.ts';
import { type Counts, mostFrames, type Schedule } from './schedule.ts';
import { Arrivals, Ring } from './transit.ts';

/** What a direction does to the world; calls as read(2) and write(2): bytes, or -1. */
export interface Ends {
  read(address: number, length: number): number;
  write(address: number, length: number): number;
}

/** Beyond what the schedule counts: what this implementation failed at. All 0 where the line is what it says. */
export interface Failures {
  /** Packets for which there was no memory. */
  overflowed: number;
  /** Packets that the device at the far end refused. */
  refused: number;
}

/** So many packets at once, before the other direction has its turn. */
const batch = 64;

export class Direction {
  readonly failures: Failures = { overflowed: 0, refused: 0 };
  readonly #ends: Ends;
  readonly #schedule: Schedule;
  readonly #memory: Memory;
  /** Where every packet is read to, at the end of the memory; the ring has the rest. What is lost never takes room there, and this stays in the caches. */
  readonly #desk: number;
  readonly #ring: Ring;
  readonly #inOrder = new Arrivals();
  readonly #late = new Arrivals();
  readonly #shape: Shape = { frames: 0, frameBytes: 0, lastBytes: 0, headerBytes: 0, segmentBytes: 0 };
  #down = false;

  constructor(ends: Ends, schedule: Schedule, memory: Memory) {
    this.#ends = ends;
    this.#schedule = schedule;
    this.#memory = memory;
    this.#desk = Math.floor((memory.bytes.length - longestPacket) / 64) * 64;
    this.#ring = new Ring(this.#desk);
  }

  get counts(): Counts {
    return this.#schedule.counts;
  }

  change(conditions: Conditions, now: number): void {
    this.#schedule.change(conditions);
    const { rttMs, jitterMs, bitsPerSecond, down } = conditions;
    // Small packets take more room than bytes on the line, at most twice as much.
    const onTheWay = ((rttMs / 2 + jitterMs + reorderLagMs) * bitsPerSecond) / 8000;
    this.#ring.limit(2 * (queueOf(conditions) + onTheWay) + 16 * longestPacket);
    if (down && !this.#down) this.#drop(now);
    this.#down = down;
  }

  /** When something arrives next, or infinity. */
  get due(): number {
    return Math.min(this.#inOrder.due, this.#late.due);
  }

  /** Writes what has arrived by now. */
  deliver(now: number): void {
    for (;;) {
      const { due } = this.#inOrder;
      const next = this.#late.due < due ? this.#late : this.#inOrder;
      if (next.due > now) return;
      next.take(this.#arrive);
    }
  }

  /**
   * Reads what is there, and decides what becomes of it.
   * @param clock asked after each packet was read: this thread may not have run between a look at the clock and the read, and a packet must not
   *   pass for older than it is, or it would arrive early
   * @returns whether there may be more
   */
  accept(clock: () => number): boolean {
    const { bytes } = this.#memory;
    const shape = this.#shape;
    for (let packet = 0; packet < batch; packet++) {
      const length = this.#ends.read(this.#memory.address + this.#desk, longestPacket);
      if (length < 0) return false;
      shapeOf(bytes, this.#desk, length, shape);
      if (shape.frames > mostFrames) {
        this.failures.overflowed++;
        continue;
      }
      const runs = this.#schedule.offer(clock(), shape.frames, shape.frameBytes, shape.lastBytes);
      for (let run = 0; run < runs; run++) this.#send(length, run);
    }
    return true;
  }

  #send(packetBytes: number, run: number): void {
    const { first, count, due, late } = this.#schedule.runs;
    const [from, frames] = [first[run] ?? 0, count[run] ?? 0];
    const whole = frames === this.#shape.frames;
    const length = whole ? packetBytes : runBytes(this.#shape, from, frames);
    const at = this.#ring.reserve(length);
    if (at < 0) {
      this.failures.overflowed++;
      return;
    }
    const { bytes } = this.#memory;
    if (whole) bytes.copyWithin(at, this.#desk, this.#desk + length);
    else copyRun(bytes, this.#desk, at, this.#shape, from, frames);
    const queue = late[run] === 1 ? this.#late : this.#inOrder;
    queue.put(due[run] ?? 0, at, length, this.#ring.keep(length));
  }

  readonly #arrive = (at: number, length: number, block: number): void => {
    if (this.#ends.write(this.#memory.address + at, length) !== length) this.failures.refused++;
    this.#ring.free(block);
  };

  readonly #forget = (_at: number, _length: number, block: number): void => this.#ring.free(block);

  #drop(now: number): void {
    for (const queue of [this.#inOrder, this.#late]) while (queue.due < Number.POSITIVE_INFINITY) queue.take(this.#forget);
    this.#schedule.clear(now);
  }
}
