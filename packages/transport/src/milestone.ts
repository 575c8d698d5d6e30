/** A promise with its two ends; its rejection is also told through a session's `failed`, so nobody has to listen. */
export class Milestone<T> {
  readonly #settle = Promise.withResolvers<T>();

  constructor() {
    this.promise.catch(() => undefined);
  }
  get promise(): Promise<T> {
    return this.#settle.promise;
  }
  reach(value: T): void {
    this.#settle.resolve(value);
  }
  fail(error: Error): void {
    this.#settle.reject(error);
  }
}
