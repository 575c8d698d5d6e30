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
}

export default async function* tally(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files: Record<string, number> = {};
  for await (const event of events) {
    if (event.type !== 'test:summary') continue;
    const { file, counts } = event.data;
    if (file !== undefined) files[file] = counts.tests;
    else {
      const { tests, suites, passed, failed, cancelled, skipped, todo } = { failed: 0, ...counts };
      yield JSON.stringify({ total: { tests, suites, passed, failed, cancelled, skipped, todo }, files });
    }
  }
}
