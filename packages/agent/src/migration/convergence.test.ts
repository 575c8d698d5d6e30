import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Bounds, courseStart, type Figures, inWords, judge, lastRounds } from './convergence.ts';

const MB = 1e6;
const GB = 1e9;

interface Guest {
  readonly memory: number;
  /** It writes to no more than this. */
  readonly workingSet: number;
  /** Bytes a second, unslowed. */
  readonly writes: number;
}

interface World {
  readonly guest: Guest;
  readonly bounds?: Partial<Bounds>;
  /** Bytes a second of the line, at a moment. */
  readonly line: (atMs: number) => number;
  /** The order's limit, at a moment. */
  readonly limit?: (atMs: number) => number;
  readonly sampleMs?: number;
}

interface Told {
  readonly end: 'switched-over' | 'gave-up' | 'still-copying';
  readonly budgets: readonly number[];
  readonly figures: Figures | undefined;
  readonly passes: number;
  readonly atMs: number;
  readonly throttle: number;
}

const defaults: Bounds = { downtimeMs: 30, maxDowntimeMs: 300, maxThrottlePercent: 0 };

/** QEMU's pre-copy, as far as it matters here: passes, its own throttling, its decision to stop the VM. It looks up from sending every 50 ms. */
function run({ guest, bounds: given, line, limit = () => 0, sampleMs = 250 }: World, longestMs = 24 * 3_600_000): Told {
  const bounds = { ...defaults, ...given };
  const stepMs = 50;
  let course = courseStart(bounds);
  let throttle = 0;
  let high = 0;
  let passes = 1;
  let remaining = guest.memory;
  let dirty = 0;
  let passSent = 0;
  let passAt = 0;
  let lookedAt = 0;
  let dirtyRate = 0;
  let sent = 0;
  const budgets: number[] = [];
  const told = (end: Told['end'], atMs: number, figures?: Figures): Told => ({ end, budgets, figures, passes, atMs, throttle });
  for (let atMs = 0; atMs < longestMs; atMs += stepMs) {
    const allowed = limit(atMs);
    const rate = allowed === 0 ? line(atMs) : Math.min(allowed, line(atMs));
    const now = Math.min(remaining, (rate * stepMs) / 1000);
    remaining -= now;
    sent += now;
    passSent += now;
    dirty = Math.min(guest.workingSet, dirty + (guest.writes * (1 - throttle / 100) * stepMs) / 1000);
    const fits = (rate * course.budgetMs) / 1000;
    let due = atMs % sampleMs === 0;
    if (remaining <= fits) {
      passes++;
      dirtyRate = (dirty * 1000) / Math.max(stepMs, atMs - passAt);
      if (atMs - lookedAt >= 1000) {
        lookedAt = atMs;
        if (dirty > passSent / 2 && ++high >= 2) {
          high = 0;
          throttle = Math.min(bounds.maxThrottlePercent, throttle === 0 ? 20 : throttle + 10);
        }
        passSent = 0;
      }
      // What was written to and had not been sent yet counts once.
      remaining = Math.min(remaining + dirty, Math.max(remaining, guest.workingSet));
      dirty = 0;
      passAt = atMs;
      if (remaining <= fits) return told('switched-over', atMs);
      due = true; // QEMU tells of each pass
    }
    if (!due) continue;
    const sample = {
      atMs,
      passes,
      remaining,
      sent,
      dirtyBytesPerSecond: dirtyRate,
      throttlePercent: throttle,
      bandwidthBytesPerSecond: allowed,
    };
    const { judgement, course: next } = judge(course, sample, bounds);
    course = next;
    if (judgement.do === 'raise-budget') {
      assert.equal(judgement.downtimeMs, course.budgetMs);
      budgets.push(judgement.downtimeMs);
    } else if (judgement.do === 'give-up') return told('gave-up', atMs, judgement.figures);
  }
  return told('still-copying', longestMs);
}

const steady = (bytesPerSecond: number) => () => bytesPerSecond;
const hopeless: Guest = { memory: 2 * GB, workingSet: 500 * MB, writes: 900 * MB };

describe('the judge of a copy', () => {
  it('leaves one alone that comes to its end by itself', () => {
    const told = run({ guest: { memory: 2 * GB, workingSet: 500 * MB, writes: 20 * MB }, line: steady(100 * MB) });
    assert.equal(told.end, 'switched-over');
    assert.deepEqual(told.budgets, []);
  });

  it('says nothing during the first pass, however long it takes', () => {
    const told = run({ guest: { memory: 1000 * GB, workingSet: 1000 * GB, writes: GB }, line: steady(10 * MB) }, 20 * 3_600_000);
    assert.deepEqual([told.end, told.passes, told.budgets], ['still-copying', 1, []]);
  });

  it('gives up a hopeless one, with its figures, after the budget has grown as far as it may', () => {
    const told = run({ guest: hopeless, line: steady(100 * MB) });
    assert.equal(told.end, 'gave-up');
    assert.deepEqual(told.budgets, [45, 68, 102, 153, 230, 300]);
    // The first round whose beginning is known, one to compare with, one for each step of the budget, and the last ones.
    assert.equal(told.passes, 2 + 1 + told.budgets.length + lastRounds);
    const figures = told.figures;
    assert.ok(figures);
    assert.equal(figures.budgetMs, 300);
    assert.equal(figures.passes, told.passes);
    assert.ok(Math.abs(figures.left - 500 * MB) < 30 * MB, `${figures.left}`);
    assert.ok(Math.abs(figures.throughputBytesPerSecond - 100 * MB) < 2 * MB, `${figures.throughputBytesPerSecond}`);
  });

  it('does not compare with the first pass, which is of all memory whatever the guest does', () => {
    const all = { memory: 500 * MB, workingSet: 500 * MB, writes: 900 * MB };
    assert.equal(run({ guest: all, line: steady(100 * MB) }).passes, run({ guest: hopeless, line: steady(100 * MB) }).passes);
  });

  it('never raises a budget that may not grow, and then gives up just as surely', () => {
    const told = run({ guest: hopeless, line: steady(100 * MB), bounds: { maxDowntimeMs: 30 } });
    assert.deepEqual([told.end, told.budgets], ['gave-up', []]);
    assert.equal(told.passes, 3 + lastRounds);
  });

  it('raises the budget no further than it has to', () => {
    const guest = { ...hopeless, workingSet: 8 * MB };
    const told = run({ guest, line: steady(100 * MB) });
    assert.equal(told.end, 'switched-over');
    assert.deepEqual(told.budgets, [45, 68, 102]); // 8 MB take 80 ms
  });

  it('has the guest slowed first, and leaves the budget alone where that is enough', () => {
    const guest = { ...hopeless, writes: 250 * MB };
    const told = run({ guest, line: steady(100 * MB), bounds: { maxThrottlePercent: 80 } });
    assert.equal(told.end, 'switched-over');
    assert.deepEqual(told.budgets, []);
    assert.ok(told.throttle >= 60 && told.throttle <= 80, `${told.throttle} %`);
  });

  it('raises the budget once the guest is slowed as far as it may be, and gives up only then', () => {
    const told = run({ guest: { ...hopeless, writes: 4 * GB }, line: steady(100 * MB), bounds: { maxThrottlePercent: 80 } });
    assert.equal(told.end, 'gave-up');
    assert.equal(told.throttle, 80);
    assert.equal(told.figures?.throttlePercent, 80);
    assert.equal(told.budgets.at(-1), 300);
    const steps = 7;
    assert.ok(told.passes > 2 * steps + lastRounds, `${told.passes}`);
    assert.ok(told.passes < 3 * steps + 10 + told.budgets.length + lastRounds, `${told.passes}`);
  });

  it('does not wait for QEMU to slow a guest that it does not want to slow', () => {
    // It writes to 4 MB again and again, which is far below half of what is sent between two looks, yet never fits 3 MB.
    const bounds = { ...defaults, maxThrottlePercent: 80 };
    let course = courseStart(bounds);
    const budgets: number[] = [];
    for (let i = 0; i < 20; i++) {
      const sample = { passes: 2 + 10 * i, remaining: 4 * MB, dirtyBytesPerSecond: MB, sent: i * 100 * MB, throttlePercent: 0 };
      const next = judge(course, { ...sample, atMs: 1000 * i, bandwidthBytesPerSecond: 0 }, bounds);
      course = next.course;
      if (next.judgement.do === 'raise-budget') budgets.push(i);
    }
    assert.deepEqual(budgets, [7, 8, 9, 10, 11, 12]);
  });

  it('does not give up one that just about comes to its end', () => {
    // Each pass is 99 % of the one before it: more than 300 passes until 2 GB fit 30 MB.
    const told = run({ guest: { memory: 2 * GB, workingSet: 2 * GB, writes: 99 * MB }, line: steady(100 * MB) });
    assert.equal(told.end, 'switched-over');
    assert.ok(told.passes > 300, `${told.passes} passes`);
  });

  it('lets a large VM have passes of many minutes', () => {
    const guest = { memory: 2000 * GB, workingSet: 2000 * GB, writes: 0.9 * GB };
    const told = run({ guest, line: steady(GB), sampleMs: 1000 });
    assert.equal(told.end, 'switched-over');
    assert.ok(told.atMs > 4 * 3_600_000, `${told.atMs} ms`);
  });

  it('gives up a hopeless large VM after as many passes as a small one', () => {
    const large = run({ guest: { memory: 200 * GB, workingSet: 50 * GB, writes: 90 * GB }, line: steady(GB), sampleMs: 1000 });
    assert.equal(large.end, 'gave-up');
    assert.equal(large.passes, run({ guest: hopeless, line: steady(100 * MB) }).passes);
  });

  it('begins again when the bandwidth is changed, and lets it go through', () => {
    const world = { guest: hopeless, line: steady(GB), bounds: { maxDowntimeMs: 30 } };
    const before = run({ ...world, limit: steady(100 * MB) });
    const changedAt = before.atMs - 6_000; // a pass takes 5 s: the last round but one
    const after = run({ ...world, limit: (atMs) => (atMs < changedAt ? 100 * MB : 200 * MB) });
    assert.deepEqual([before.end, after.end], ['gave-up', 'gave-up']);
    assert.ok(after.passes >= before.passes + lastRounds, `${after.passes} passes in place of ${before.passes}`);
    const guest = { ...hopeless, workingSet: 25 * MB };
    const through = run({ ...world, guest, limit: (atMs) => (atMs < 30_000 ? 100 * MB : 0) });
    assert.equal(through.end, 'switched-over');
    assert.ok(through.atMs >= 30_000);
  });

  it('counts no round twice where a line becomes slower without anybody ordering it', () => {
    const line = (atMs: number) => (atMs < 30_000 ? 1000 * MB : 100 * MB);
    const told = run({ guest: { memory: 40 * GB, workingSet: 500 * MB, writes: 90 * MB }, line });
    assert.equal(told.end, 'switched-over');
  });

  it('counts rounds, not samples: samples of the same moment of the same pass change nothing', () => {
    const one = run({ guest: hopeless, line: steady(100 * MB) });
    const more = run({ guest: hopeless, line: steady(100 * MB), sampleMs: 50 });
    assert.equal(more.passes, one.passes);
  });

  it('comes to an end for any guest and any line, within its bounds', () => {
    const worlds = fc.record({
      workingSet: fc.integer({ min: 1, max: 400 }),
      writes: fc.integer({ min: 1, max: 2_000 }),
      line: fc.integer({ min: 10, max: 1_000 }),
      maxThrottlePercent: fc.integer({ min: 0, max: 99 }),
      downtimeMs: fc.integer({ min: 1, max: 200 }),
      more: fc.integer({ min: 0, max: 500 }),
    });
    fc.assert(
      fc.property(worlds, ({ workingSet, writes, line, maxThrottlePercent, downtimeMs, more }) => {
        const maxDowntimeMs = downtimeMs + more;
        const guest = { memory: 500 * MB, workingSet: workingSet * MB, writes: writes * MB };
        const bounds = { downtimeMs, maxDowntimeMs, maxThrottlePercent };
        const told = run({ guest, line: steady(line * MB), bounds }, 3_600_000 * 4);
        assert.notEqual(told.end, 'still-copying');
        const all = [downtimeMs, ...told.budgets];
        for (const [i, budget] of all.entries()) assert.ok(budget <= maxDowntimeMs && budget > (all[i - 1] ?? 0));
        if (told.end !== 'gave-up') return;
        assert.equal(all.at(-1), maxDowntimeMs, 'something was left to be tried');
        // Unslowed it would not have fitted either.
        assert.ok(workingSet * 1000 > line * maxDowntimeMs * 0.9, `${workingSet} MB at ${line} MB/s fit ${maxDowntimeMs} ms`);
      }),
      { numRuns: 100 },
    );
  });
});

describe('why it was given up', () => {
  const figures: Figures = {
    passes: 29,
    left: 8.4 * MB,
    dirtyBytesPerSecond: 412 * MB,
    throughputBytesPerSecond: 6 * MB,
    throttlePercent: 80,
    budgetMs: 300,
  };

  it('has every figure', () => {
    assert.equal(
      inWords(figures, { ...defaults, maxThrottlePercent: 80 }),
      'after 29 passes over its memory 8.4 MB of it are still left at each; it writes 412.0 MB/s and the channels carry 6.0 MB/s; ' +
        'it was slowed by 80 % (at most 80 % is allowed); a switch-over of 300 ms (at most 300 ms is allowed) has room for 1.8 MB',
    );
  });

  it('says where the guest may not be slowed', () => {
    assert.match(inWords({ ...figures, throttlePercent: 0 }, defaults), /; it may not be slowed; /);
  });
});
