/** The time that an attempt has at its source, until the grant. */
import type { Failure } from '../handover/records.ts';

export class Deadline {
  readonly #passed: (failure: Failure) => void;
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(passed: (failure: Failure) => void) {
    this.#passed = passed;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** @param ms counted from the start of the attempt */
  endBy(ms: number): void {
    const message = `not done within its deadline of ${ms / 1000} s; the VM runs on at the source`;
    this.after(Math.max(0, ms - this.elapsedMs), () => this.#passed({ code: 'migration_failed', message }));
  }

  /** In place of what was set before. */
  after(ms: number, act: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
