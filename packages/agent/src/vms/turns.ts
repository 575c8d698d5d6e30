/** Lets one action at a time through, in the order they came. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Is one under way or waiting? */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  async take<T>(action: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const mine = this.#last.then(action);
    this.#last = mine.catch(() => {}); // whoever took that turn hears of it
    try {
      return await mine;
    } finally {
      this.#waiting -= 1;
    }
  }
}
