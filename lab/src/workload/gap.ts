/**
 * The longest time in which a connection had no answer. It is taken from answer to answer, so it holds the time between an answer and
 * the next request as well: it never makes an interruption look shorter than a client saw it.
 */
export class Gap {
  #lastAnswer: number;
  #longest = 0;

  /** @param now monotonic, milliseconds */
  constructor(now: number) {
    this.#lastAnswer = now;
  }

  answered(now: number): void {
    this.#longest = Math.max(this.#longest, now - this.#lastAnswer);
    this.#lastAnswer = now;
  }

  /** The longest since the last reset, one that goes on now included. Milliseconds. */
  longest(now: number): number {
    return Math.max(this.#longest, now - this.#lastAnswer);
  }

  /** Starts a new measurement. A silence that goes on now counts whole: its beginning is not forgotten. */
  reset(): void {
    this.#longest = 0;
  }
}
