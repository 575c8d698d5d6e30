/**
 * What a worker thread holds outside its JavaScript heap, written down where the main thread can read it. A thread that dies runs no clean-up:
 * its OpenSSL contexts, with key schedules in them, and its pages would otherwise stay as long as the process.
 */
import { TransportError } from '../errors.ts';

export const holdingKind = { context: 1, keyPair: 2, memory: 3 } as const;
export type HoldingKind = (typeof holdingKind)[keyof typeof holdingKind];

export interface Holding {
  readonly kind: HoldingKind;
  readonly address: number;
  /** Bytes, of memory. */
  readonly length: number;
}

/** A channel takes about eight; 256 KiB of untouched zeros otherwise. */
const slots = 16_384;

/** Two doubles a slot: 4 × length + kind, or 0 where it is free; address. */
export const newLedger = (): SharedArrayBuffer => new SharedArrayBuffer(slots * 16);

let ledger: Float64Array | undefined;
let used = 0;
const free: number[] = [];
const slotOf = new Map<number, number>();

/** A worker's first act: from here on it writes down what it holds. The main thread has no ledger; it does not die alone. */
export function adoptLedger(buffer: SharedArrayBuffer): void {
  ledger = new Float64Array(buffer);
}

/** @throws TransportError `local` where the thread holds too much; the caller still has what it wanted to write down */
export function hold(kind: HoldingKind, address: number, length = 0): void {
  if (!ledger) return;
  const slot = free.pop() ?? used++;
  if (slot >= slots) throw new TransportError('local', `a transport thread holds more than ${slots} things`);
  ledger[slot * 2 + 1] = address;
  ledger[slot * 2] = 4 * length + kind;
  slotOf.set(address, slot);
}

/** Once it is freed. */
export function letGo(address: number): void {
  const slot = slotOf.get(address);
  if (!ledger || slot === undefined) return;
  ledger[slot * 2] = 0;
  slotOf.delete(address);
  free.push(slot);
}

/** Takes what stands in a ledger whose thread has ended. */
export function takeHoldings(buffer: SharedArrayBuffer): Holding[] {
  const values = new Float64Array(buffer);
  const found: Holding[] = [];
  for (let at = 0; at < values.length; at += 2) {
    const word = values[at] ?? 0;
    if (word === 0) continue;
    values[at] = 0;
    const kind = (word % 4) as HoldingKind; // as hold() put it there
    found.push({ kind, address: values[at + 1] ?? 0, length: Math.floor(word / 4) });
  }
  return found;
}
