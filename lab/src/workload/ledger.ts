/**
 * What one connection knows about the slots that it alone writes to. Write n goes to slot n mod SLOTS and carries n, so each number says which
 * writes to its slot came before it, and a slot that shows an older number says exactly how many acknowledged writes are gone.
 */

/** What a slot was found to hold, against what was acknowledged. */
export interface Finding {
  /** Acknowledged writes that are not there any more. */
  readonly lost: number;
  /** A value that cannot be: of another slot, or newer than any that was sent. */
  readonly wrong: boolean;
}

export class Ledger {
  readonly #owner: string;
  readonly #slots: number;
  /** Per slot: the number of its last acknowledged write. */
  readonly #acknowledged: (number | undefined)[];
  /** Per slot: a write whose answer was lost with its connection, so that it may have happened or not. */
  readonly #uncertain: (number | undefined)[];
  #next = 0;

  /** @param owner stands in each value, so that one of another connection is noticed */
  constructor(owner: string, slots: number) {
    this.#owner = owner;
    this.#slots = slots;
    this.#acknowledged = new Array(slots).fill(undefined);
    this.#uncertain = new Array(slots).fill(undefined);
  }

  get slots(): number {
    return this.#slots;
  }

  key(slot: number): string {
    return `slot:${this.#owner}:${slot}`;
  }

  /** The next write, which is not acknowledged before {@link acknowledge}. */
  nextWrite(): { readonly number: number; readonly slot: number; readonly value: string } {
    const number = this.#next++;
    return { number, slot: number % this.#slots, value: `${this.#owner}:${number}` };
  }

  acknowledge(number: number): void {
    this.#acknowledged[number % this.#slots] = number;
    this.#uncertain[number % this.#slots] = undefined;
  }

  /** The connection went while this write was on its way. */
  leaveUncertain(number: number): void {
    this.#uncertain[number % this.#slots] = number;
  }

  /** Compares what a slot holds with what was acknowledged. */
  examine(slot: number, value: unknown): Finding {
    const expected = this.#acknowledged[slot];
    const allowed = this.#uncertain[slot];
    // Numbers of one slot are SLOTS apart, and the first is the slot's own number.
    const writesUpTo = (number: number | undefined): number => (number === undefined ? 0 : (number - slot) / this.#slots + 1);
    if (value === null) return { lost: writesUpTo(expected), wrong: false };
    const [owner, text] = typeof value === 'string' ? value.split(':') : [];
    const found = Number(text);
    if (owner !== this.#owner || !Number.isSafeInteger(found) || found < 0 || found % this.#slots !== slot) return { lost: 0, wrong: true };
    if (found === expected || found === allowed) return { lost: 0, wrong: false };
    if (expected === undefined || found > expected) return { lost: 0, wrong: true };
    return { lost: writesUpTo(expected) - writesUpTo(found), wrong: false };
  }
}
