/**
 * A machine as numbers: each state and each list of effects that it can come to has one, so that a world is a few bytes. Every turn is asked
 * of the machine's own functions, once for each state and event.
 */

/** Gives each name a number, counting from 0. */
class Numbers<T> {
  readonly all: T[] = [];
  readonly #known = new Map<string, number>();

  of(key: string, value: T): number {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.all.length > 255) throw new Error(`more than 256 of a kind: ${key}`);
    this.#known.set(key, this.all.length);
    return this.all.push(value) - 1;
  }
}

export interface Turn {
  readonly state: number;
  /** What is to be done, see {@link Table.effects}. */
  readonly list: number;
  /** Nothing happens. */
  readonly idle: boolean;
}

interface Machine<S, E, F> {
  readonly step: (state: S, event: E) => { readonly state: S; readonly effects: readonly F[] };
  readonly events: Readonly<Record<string, E>>;
  readonly nameOf: (effect: F) => string;
}

export class Table<S extends { readonly at: string }, E, F> {
  readonly #machine: Machine<S, E, F>;
  readonly #states = new Numbers<S>();
  readonly #lists = new Numbers<readonly string[]>();
  readonly #turns = new Map<number, Turn & { counted?: boolean }>();
  readonly #futures: ReadonlySet<string>[] = [];
  readonly #events: readonly string[];
  readonly #tails: number[] = [];
  /** Every pair of state and event that came about, such as `granted + failed`. */
  readonly taken = new Set<string>();

  constructor(machine: Machine<S, E, F>) {
    this.#machine = machine;
    this.#events = Object.keys(machine.events);
    this.list([]);
  }

  /** The number of a state. Why something failed is told to people and decides nothing; that it has, may. */
  number(state: S): number {
    const key = JSON.stringify(state, (name, value) => (name === 'failure' ? value !== undefined : value));
    return this.#states.of(key, state);
  }

  state(number: number): S {
    return at(this.#states.all, number);
  }

  list(effects: readonly string[]): number {
    return this.#lists.of(effects.join(), effects);
  }

  begin({ state, effects }: { readonly state: S; readonly effects: readonly F[] }): Turn {
    return { state: this.number(state), list: this.list(effects.map(this.#machine.nameOf)), idle: false };
  }

  turn(state: number, event: string): Turn {
    const index = this.#events.indexOf(event);
    const turn = this.#turn(state, index);
    if (!turn.counted) {
      turn.counted = true;
      this.taken.add(`${this.state(state).at} + ${event.split(':')[0]}`);
    }
    return turn;
  }

  /** Could this event still change anything, now or after whatever else comes, until the agent starts again? */
  matters(state: number, event: string): boolean {
    return this.#future(state).has(event);
  }

  #turn(state: number, event: number): Turn & { counted?: boolean } {
    const key = state * 64 + event;
    let turn = this.#turns.get(key);
    if (!turn) {
      const name = this.#events[event] ?? '';
      const given = this.#machine.events[name];
      if (given === undefined) throw new Error(`no event ${event}`);
      const after = this.begin(this.#machine.step(this.state(state), given));
      turn = { ...after, idle: after.state === state && after.list === 0 };
      this.#turns.set(key, turn);
    }
    return turn;
  }

  #future(state: number): ReadonlySet<string> {
    const known = this.#futures[state];
    if (known) return known;
    const reached = new Set([state]);
    const future = new Set<string>();
    for (const each of reached) {
      this.#events.forEach((name, event) => {
        const turn = this.#turn(each, event);
        if (turn.idle) return;
        future.add(name);
        reached.add(turn.state);
      });
    }
    this.#futures[state] = future;
    return future;
  }

  /** The first effect of a list; undefined where there is none. */
  head(list: number): string | undefined {
    return at(this.#lists.all, list)[0];
  }

  /** The list without its first effect. */
  tail(list: number): number {
    let tail = this.#tails[list];
    if (tail === undefined) {
      tail = this.list(at(this.#lists.all, list).slice(1));
      this.#tails[list] = tail;
    }
    return tail;
  }

  /** The list with another first effect: the second half of what is being done. */
  instead(list: number, effect: string): number {
    return this.list([effect, ...at(this.#lists.all, list).slice(1)]);
  }
}

function at<T>(all: readonly T[], index: number): T {
  const one = all[index];
  if (one === undefined) throw new Error(`nothing has the number ${index}`);
  return one;
}
