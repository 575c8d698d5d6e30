/** Replaces single functions of a binding's table (native/libc.ts, native/evp.ts), so that a test can have any call fail in any way. */
import koffi from 'koffi';

type Real = (...args: readonly number[]) => number;

/** What becomes of a call in its place; `real` makes it after all. */
export type Fault = (real: Real, args: readonly number[]) => number;

/** As libc fails. */
export const failing =
  (errno: number): Fault =>
  () => {
    koffi.errno(errno);
    return -1;
  };

/** Answers so, having done nothing. */
export const answering =
  (value: number): Fault =>
  () =>
    value;

/** A read or send of one byte. @param at which argument is the length */
export const shortened =
  (at: number): Fault =>
  (real, args) =>
    real(...args.map((each, i) => (i === at ? Math.min(1, each) : each)));

/** Counts the calls of some functions of a table, and lets one of them meet a fault. */
export class Faults implements Disposable {
  /** The names of all calls so far, in order. */
  readonly calls: string[] = [];
  readonly #restore: (() => void)[] = [];
  #paused = false;

  /** @param at the number of the call that meets the fault, from 0; none where it is -1 */
  constructor(table: object, names: readonly string[], at = -1, fault: Fault = answering(0)) {
    const functions = table as Record<string, Real>; // for everybody else the tables are read-only, and their functions more exact
    for (const name of names) {
      const real = functions[name];
      if (!real) throw new Error(`there is no ${name}`);
      functions[name] = (...args) => {
        if (this.#paused || this.calls.push(name) - 1 !== at) return real(...args);
        return fault(real, args);
      };
      this.#restore.push(() => {
        functions[name] = real;
      });
    }
  }

  /** For the test's own calls: they neither count nor fail. */
  pause<T>(act: () => T): T {
    this.#paused = true;
    try {
      return act();
    } finally {
      this.#paused = false;
    }
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restore.splice(0)) restore();
  }
}
