/** Breadth-first through every state of a model, each once; then, backwards, whether an end can be reached from each. */

export interface Model {
  /** Bytes of a state. */
  readonly width: number;
  readonly initial: readonly Uint8Array[];
  /** Calls `go` with each state that can come next; `next` is read before `go` returns and may be used again. */
  successors(now: Uint8Array, go: Go): void;
  /** What must never be, and is; undefined where all is well. */
  judge(state: Uint8Array): string | undefined;
  isEnd(state: Uint8Array): boolean;
}

/**
 * @param what in words
 * @param heals whether it happens sooner or later where nothing more goes wrong
 * @param wrong what must not be done, where that was just done
 */
export type Go = (next: Uint8Array, what: string, heals: boolean, wrong: string | undefined) => void;

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** The most steps from the beginning to any state, by the shortest way. */
  readonly depth: number;
  /** End states. */
  readonly ends: number;
  /** The shortest way to what must not be. */
  readonly violation: { readonly what: string; readonly trace: readonly string[] } | undefined;
}

/** @param maxStates where to give up: an error, not a result */
export function explore(model: Model, { maxStates = 60_000_000, liveness = true } = {}): Exploration {
  const seen = new StateSet(model.width);
  const parents = new Growing();
  const edges = new Growing();
  const ends: number[] = [];
  let transitions = 0;
  let from = -1;
  let violation: { what: string; at: number; last: string | undefined } | undefined;

  const visit: Go = (next, what, heals, wrong) => {
    transitions++;
    if (violation) return;
    if (wrong) {
      violation = { what: wrong, at: from, last: what };
      return;
    }
    const before = seen.size;
    const to = seen.add(next);
    if (heals && liveness) edges.push(from, to);
    if (seen.size === before) return;
    if (seen.size > maxStates) throw new Error(`more than ${maxStates} states`);
    parents.push(from);
    const bad = model.judge(next);
    if (bad) violation = { what: bad, at: to, last: undefined };
    else if (model.isEnd(next)) ends.push(to);
  };

  for (const state of model.initial) visit(state, '', false, undefined);
  let depth = 0;
  const now = new Uint8Array(model.width);
  for (let level = seen.size; from + 1 < seen.size && !violation; ) {
    from++;
    if (from === level) {
      depth++;
      level = seen.size;
    }
    seen.read(from, now);
    model.successors(now, visit);
  }
  const explored = { states: seen.size, transitions, depth, ends: ends.length };
  const stuck = violation || !liveness ? -1 : firstStuck(seen.size, edges, ends);
  if (stuck >= 0) violation = { what: 'it never ends, although both hosts are alive and can speak', at: stuck, last: undefined };
  if (!violation) return { ...explored, violation: undefined };
  const { what, at, last } = violation;
  return { ...explored, violation: { what, trace: [...retrace(model, seen, parents, at), ...(last ? [last] : [])] } };
}

/** How a state was reached, in words: the way is known by its states, and is gone again for what was done on it. */
function retrace(model: Model, seen: StateSet, parents: Growing, last: number): string[] {
  const way: number[] = [];
  for (let at = last; at >= 0; at = parents.get(at)) way.unshift(at);
  const words: string[] = [];
  for (let i = 0; i + 1 < way.length; i++) {
    const now = seen.read(way[i] ?? 0, new Uint8Array(model.width));
    let found: string | undefined;
    model.successors(now, (next, what) => {
      if (found === undefined && seen.find(next) === way[i + 1]) found = what;
    });
    words.push(found ?? 'nobody knows how');
  }
  return words;
}

/** The first state from which no healing way leads to an end; -1 where there is none. */
function firstStuck(size: number, edges: Growing, ends: readonly number[]): number {
  // Edges by where they lead to: offsets into one array, as counting sort leaves them.
  const offsets = new Int32Array(size + 2);
  for (let i = 1; i < edges.length; i += 2) offsets[edges.get(i) + 2] = (offsets[edges.get(i) + 2] ?? 0) + 1;
  for (let i = 2; i < offsets.length; i++) offsets[i] = (offsets[i] ?? 0) + (offsets[i - 1] ?? 0);
  const sources = new Int32Array(edges.length / 2);
  for (let i = 0; i < edges.length; i += 2) {
    const slot = edges.get(i + 1) + 1;
    sources[offsets[slot] ?? 0] = edges.get(i);
    offsets[slot] = (offsets[slot] ?? 0) + 1;
  }
  const live = new Uint8Array(size);
  const queue = new Int32Array(size);
  let queued = 0;
  const reach = (state: number): void => {
    if (live[state]) return;
    live[state] = 1;
    queue[queued++] = state;
  };
  for (const end of ends) reach(end);
  for (let next = 0; next < queued; next++) {
    const state = queue[next] ?? 0;
    for (let i = offsets[state] ?? 0; i < (offsets[state + 1] ?? 0); i++) reach(sources[i] ?? 0);
  }
  return live.indexOf(0);
}

/** Numbers in the order they came. */
class Growing {
  #items = new Int32Array(1 << 16);
  length = 0;

  push(...items: readonly number[]): void {
    for (const item of items) {
      if (this.length === this.#items.length) {
        const larger = new Int32Array(2 * this.length);
        larger.set(this.#items);
        this.#items = larger;
      }
      this.#items[this.length++] = item;
    }
  }

  get(index: number): number {
    return this.#items[index] ?? 0;
  }
}

/** States one after the other, found again by open addressing. */
class StateSet {
  size = 0;
  readonly #width: number;
  #store: Uint8Array;
  #slots = new Int32Array(1 << 16).fill(-1);

  constructor(width: number) {
    this.#width = width;
    this.#store = new Uint8Array(width << 15);
  }

  /** @returns its number, whether it is new or not */
  add(state: Uint8Array): number {
    const slot = this.#slot(state);
    const there = this.#slots[slot] ?? -1;
    if (there >= 0) return there;
    const number = this.size++;
    this.#slots[slot] = number;
    if (this.size * this.#width > this.#store.length) {
      const larger = new Uint8Array(2 * this.#store.length);
      larger.set(this.#store);
      this.#store = larger;
    }
    this.#store.set(state, number * this.#width);
    if (2 * this.size > this.#slots.length) this.#rehash();
    return number;
  }

  find(state: Uint8Array): number {
    return this.#slots[this.#slot(state)] ?? -1;
  }

  read(number: number, into: Uint8Array): Uint8Array {
    const start = number * this.#width;
    for (let i = 0; i < this.#width; i++) into[i] = this.#store[start + i] ?? 0;
    return into;
  }

  #slot(state: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash(state) & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot] ?? -1;
      if (number < 0 || this.#is(number, state)) return slot;
    }
  }

  #is(number: number, state: Uint8Array): boolean {
    const start = number * this.#width;
    for (let i = 0; i < this.#width; i++) if (this.#store[start + i] !== state[i]) return false;
    return true;
  }

  #rehash(): void {
    this.#slots = new Int32Array(2 * this.#slots.length).fill(-1);
    const state = new Uint8Array(this.#width);
    for (let number = 0; number < this.size; number++) this.#slots[this.#slot(this.read(number, state))] = number;
  }
}

/** FNV-1a, with its bits mixed once more: neighbouring states differ in a byte. */
function hash(state: Uint8Array): number {
  let h = 0x811c9dc5;
  for (const byte of state) h = Math.imul(h ^ byte, 0x01000193);
  h ^= h >>> 15;
  return Math.imul(h, 0x2c1b3c6d) ^ (h >>> 13);
}
