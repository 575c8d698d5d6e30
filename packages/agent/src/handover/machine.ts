/**
 * Drives one of the two state machines: events one at a time, each event's effects in order and finished before the next event. An effect
 * may take its time, events wait; none of them is so urgent that it may overtake what was decided before it.
 */
import { JournalError } from '../journal.ts';
import type { Failure } from './records.ts';

export interface MachineOptions<S, E, F> {
  readonly state: S;
  readonly step: (state: S, event: E) => { readonly state: S; readonly effects: readonly F[] };
  /** Does what an effect says. Rejecting ends the turn; only a refused record may do so. */
  readonly perform: (effect: F) => void | Promise<void>;
  /** After each change of state, before its effects. */
  readonly changed: (state: S) => void;
  /** The event that stands for a record that the journal did not take. */
  readonly journalFailed: (failure: Failure) => E;
  /** Something that was not foreseen: a defect. */
  readonly broken: (error: unknown) => void;
}

export class Machine<S, E, F> {
  readonly #options: MachineOptions<S, E, F>;
  #state: S;
  readonly #queue: { readonly event: E; readonly taken?: (state: S) => void }[] = [];
  #running = false;

  constructor(options: MachineOptions<S, E, F>) {
    this.#options = options;
    this.#state = options.state;
  }

  get state(): S {
    return this.#state;
  }

  dispatch(event: E): void {
    this.#queue.push({ event });
    if (!this.#running) void this.#run();
  }

  /** @returns the state that the event led to, after whatever was decided before it, and before its own effects are done */
  ask(event: E): Promise<S> {
    const { promise, resolve } = Promise.withResolvers<S>();
    this.#queue.push({ event, taken: resolve });
    if (!this.#running) void this.#run();
    return promise;
  }

  /** Does effects that no event leads to: after a restart. */
  async begin(effects: readonly F[]): Promise<void> {
    this.#running = true;
    this.#options.changed(this.#state);
    await this.#perform(effects);
    await this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const { event, taken } = next;
      const turn = this.#options.step(this.#state, event);
      if (turn.state !== this.#state) {
        this.#state = turn.state;
        this.#options.changed(turn.state);
      }
      taken?.(turn.state);
      await this.#perform(turn.effects);
    }
    this.#running = false;
  }

  async #perform(effects: readonly F[]): Promise<void> {
    for (const effect of effects) {
      try {
        await this.#options.perform(effect);
      } catch (error) {
        if (error instanceof JournalError) {
          // It comes before whatever else has happened meanwhile: what the machine believes it has recorded, it has not.
          this.#queue.unshift({ event: this.#options.journalFailed({ code: 'internal', message: error.message }) });
          return;
        }
        this.#options.broken(error);
      }
    }
  }
}
