/** Keeps one of what thousands of hosts say alike, such as the CPU features that a model is missing on them: kilobytes in each report. */

/** More different ones than a site has; beyond that, all are forgotten and the next ones kept. */
const mostKept = 256;

export class Alike {
  readonly #known = new Map<string, unknown>();

  /** @returns the first value that was the same JSON as this one */
  same<T>(value: T): T {
    const text = JSON.stringify(value);
    const known = this.#known.get(text);
    if (known !== undefined) return known as T; // the same JSON, of the same property of the same schema
    if (this.#known.size >= mostKept) this.#known.clear();
    this.#known.set(text, value);
    return value;
  }
}
