/** A reporter of node:test beside the one for people: writes what was counted, per file and in all, as JSON. */
import type { TestEvent } from 'node:test/reporters';

export interface Counts {
  readonly tests: number;
  readonly suites: number;
  readonly passed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly todo: number;
}

export interface Tally {
  readonly total: Counts;
  /** Tests counted in each file; a file that had none, or that died before it could say, is not in here. */
  readonly files: Readonly<Record<string, number>>;
  /** What failed by itself, not only because something in it did: `file: name`. */
  readonly failures: readonly string[];
}

export default async function* tally(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files: Record<string, number> = {};
  const failures: string[] = [];
  for await (const event of events) {
    if (event.type === 'test:fail') {
      const { file, name, details } = event.data;
      const cause: unknown = details.error;
      const inherited = cause instanceof Error && 'failureType' in cause && cause.failureType === 'subtestsFailed';
      if (!inherited && event.data.todo === undefined) failures.push(file === undefined ? name : `${file}: ${name}`);
    } else if (event.type === 'test:summary') {
      const { file, counts } = event.data;
      if (file !== undefined) files[file] = counts.tests;
      else {
        const { tests, suites, passed, failed, cancelled, skipped, todo } = { failed: 0, ...counts };
        yield JSON.stringify({ total: { tests, suites, passed, failed, cancelled, skipped, todo }, files, failures });
      }
    }
  }
}
