/** Lets one action at a time through, in the order they came. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(action: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(action);
    this.#last = mine.catch(() => {}); // whoever took that turn hears of it
    return mine;
  }
}
