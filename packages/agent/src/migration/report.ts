/** One attempt's report, and everybody who watches it. */
import { type AttemptReport, finalPhases } from '@sealift/contract';

export const isFinal = (report: AttemptReport): boolean => finalPhases.includes(report.phase);

export class Report {
  #value: AttemptReport;
  readonly #watchers = new Set<() => void>();

  constructor(value: AttemptReport) {
    this.#value = value;
  }

  get value(): AttemptReport {
    return this.#value;
  }

  update(changes: Partial<AttemptReport>): void {
    this.#value = { ...this.#value, ...changes };
    for (const wake of this.#watchers) wake();
  }

  /** As it is now, then whenever it has changed (a slow reader misses what lies between), until a final phase or `signal`. */
  async *watch(signal: AbortSignal): AsyncGenerator<AttemptReport> {
    let seen: AttemptReport | undefined;
    while (!signal.aborted) {
      if (seen !== this.#value) {
        seen = this.#value;
        yield seen;
        if (isFinal(seen)) return;
        continue;
      }
      const changed = Promise.withResolvers<void>();
      this.#watchers.add(changed.resolve);
      signal.addEventListener('abort', () => changed.resolve(), { once: true });
      await changed.promise;
      this.#watchers.delete(changed.resolve);
    }
  }
}
