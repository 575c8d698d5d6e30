/** Names in their order, each once, read by pages. */
export class NameIndex {
  readonly #names: string[] = [];

  add(name: string): void {
    const at = this.#firstFrom(name);
    if (this.#names[at] !== name) this.#names.splice(at, 0, name);
  }

  remove(name: string): void {
    const at = this.#firstFrom(name);
    if (this.#names[at] === name) this.#names.splice(at, 1);
  }

  /** Those behind `after`, at most so many. */
  page(after = '', limit: number = this.#names.length): string[] {
    let from = this.#firstFrom(after);
    if (this.#names[from] === after) from++;
    return this.#names.slice(from, from + limit);
  }

  /** Of the first name that is not before this one; the length where there is none. */
  #firstFrom(name: string): number {
    let [low, high] = [0, this.#names.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#names[middle] ?? '') < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
