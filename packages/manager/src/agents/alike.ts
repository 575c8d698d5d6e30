/** Keeps one of what thousands of hosts say alike, such as the CPU features that a model is missing on them: kilobytes in each report. */

/** More different ones than a site has; beyond that, all are forgotten and the next ones kept. */
const mostKept = 256;

export class Alike {
  readonly #known = new Map<string, unknown>();

  /**
   * @param last what the same host said before, which it mostly says again
   * @returns the first value that was the same JSON as this one
   */
  same<T>(value: T, last: T | undefined): T {
    if (last !== undefined && equal(value, last)) return last;
    const text = JSON.stringify(value);
    const known = this.#known.get(text);
    if (known !== undefined) return known as T; // the same JSON, of the same property of the same schema
    if (this.#known.size >= mostKept) this.#known.clear();
    this.#known.set(text, value);
    return value;
  }
}

/** Of two that were read from JSON, the order of an object's names apart. Makes nothing to be thrown away again. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    for (let index = 0; index < a.length; index++) if (!equal(a[index], b[index])) return false;
    return true;
  }
  const [left, right] = [a, b] as Record<string, unknown>[]; // neither an array nor null
  if (!left || !right) return false;
  let count = 0;
  for (const name in left) {
    if (!Object.hasOwn(right, name) || !equal(left[name], right[name])) return false;
    count++;
  }
  for (const _ in right) count--;
  return count === 0;
}
