/**
 * Progress counters of a session, shared between threads. Each slot has one writer; readers see whole doubles (aligned 64-bit stores), which
 * is all that progress needs. What decides anything (totals in CLOSE and GRANT) travels in records and messages instead.
 */
import type { ChannelTotal } from '../record/control.ts';

const perChannel = 6;
const perSession = 2;
const slot = { outBytes: 0, outRecords: 1, outWire: 2, inBytes: 3, inRecords: 4, inWire: 5 } as const;
export type Counter = keyof typeof slot;

export class Statistics {
  readonly buffer: SharedArrayBuffer;
  readonly channels: number;
  readonly #values: Float64Array;

  constructor(channels: number, buffer = new SharedArrayBuffer(8 * (perSession + channels * perChannel))) {
    this.channels = channels;
    this.buffer = buffer;
    this.#values = new Float64Array(buffer);
  }

  add(channel: number, counter: Counter, amount: number): void {
    const at = perSession + channel * perChannel + slot[counter];
    this.#values[at] = (this.#values[at] ?? 0) + amount;
  }

  get(channel: number, counter: Counter): number {
    return this.#values[perSession + channel * perChannel + slot[counter]] ?? 0;
  }

  sum(...counters: Counter[]): number {
    let sum = 0;
    for (let channel = 0; channel < this.channels; channel++) for (const counter of counters) sum += this.get(channel, counter);
    return sum;
  }

  total(channel: number, direction: 'in' | 'out'): ChannelTotal {
    return direction === 'in'
      ? { bytes: this.get(channel, 'inBytes'), records: this.get(channel, 'inRecords') }
      : { bytes: this.get(channel, 'outBytes'), records: this.get(channel, 'outRecords') };
  }

  /** The least round-trip time seen, microseconds; 0 for none yet. */
  get leastRtt(): number {
    return this.#values[0] ?? 0;
  }

  sampleRtt(microseconds: number): void {
    if (this.leastRtt === 0 || microseconds < this.leastRtt) this.#values[0] = microseconds;
  }
}
