/**
 * Whether a copy comes to its end, and what may still be tried where it does not. Pure: samples in, a verdict out.
 *
 * QEMU sends memory in passes, each of what the guest wrote during the one before, and stops the VM when what is left after a pass fits the switch-over
 * budget. It repeats that for ever where it never fits. Judged is in rounds, each of one whole pass and of a second at least, as QEMU judges its own
 * throttling: what was left at the worst moment of a round (the beginning of a pass) says how far the end is. A round that brought the end no closer than
 * any before it has stalled. Then, in this order:
 *
 * 1. QEMU slows the guest, one step every second round, as far as it may;
 * 2. the budget grows by half at each further round that stalls, as far as it may;
 * 3. after {@link lastRounds} more of them nothing is left to hope for.
 *
 * Rounds are counted, never seconds: a large VM on a thin line has long ones. Whatever is new (the guest slowed further, another bandwidth, an end
 * that came closer) begins the count again.
 */

export interface Bounds {
  /** Where the budget begins. */
  readonly downtimeMs: number;
  readonly maxDowntimeMs: number;
  /** 0 to 99; 0: the guest is never slowed. */
  readonly maxThrottlePercent: number;
}

/** What is known at one moment of the copy. */
export interface Sample {
  /** Of one clock that never goes back. */
  readonly atMs: number;
  /** Passes begun so far: the first is 1, and of all memory. */
  readonly passes: number;
  /** Bytes that this pass has still to send. */
  readonly remaining: number;
  /** How fast the guest writes to pages that it had not written to since the pass began. */
  readonly dirtyBytesPerSecond: number;
  /** Bytes sent since the beginning. */
  readonly sent: number;
  readonly throttlePercent: number;
  /** As ordered, or as changed since; 0 is without limit. */
  readonly bandwidthBytesPerSecond: number;
}

interface Round {
  readonly from: Sample;
  /** The most that was left at any moment of it. */
  readonly left: number;
}

export interface Course {
  readonly budgetMs: number;
  readonly round: Round | undefined;
  /** The least that any round had left since something was new. */
  readonly least: number | undefined;
  /** Rounds since then that did not get below it. */
  readonly stalled: number;
  /** Those of them that nothing was left to be tried in. */
  readonly spent: number;
}

/** Why it was given up: the figures of the last round. Bytes, and bytes a second. */
export interface Figures {
  readonly passes: number;
  readonly left: number;
  readonly dirtyBytesPerSecond: number;
  readonly throughputBytesPerSecond: number;
  readonly throttlePercent: number;
  readonly budgetMs: number;
}

export type Judgement =
  | { readonly do: 'wait' }
  | { readonly do: 'raise-budget'; readonly downtimeMs: number }
  | { readonly do: 'give-up'; readonly figures: Figures };

/** QEMU looks at its throttle at most once a second. */
const roundMs = 1_000;
/** An end that comes less than this much closer is noise. */
const closer = 0.99;
/** QEMU slows the guest at every second pass that calls for it: one that it has let go by so often calls for none. */
const throttlePatience = 6;
const budgetGrowth = 1.5;
/** Rounds that stall with everything tried: a guest may be busier than usual for a while. */
export const lastRounds = 20;

export const courseStart = ({ downtimeMs }: Bounds): Course => ({
  budgetMs: downtimeMs,
  round: undefined,
  least: undefined,
  stalled: 0,
  spent: 0,
});

export function judge(course: Course, sample: Sample, bounds: Bounds): { readonly course: Course; readonly judgement: Judgement } {
  const wait = { do: 'wait' } as const;
  if (sample.passes < 2) return { course, judgement: wait };
  const round: Round = { from: sample, left: sample.remaining };
  const { round: open } = course;
  if (!open || open.from.bandwidthBytesPerSecond !== sample.bandwidthBytesPerSecond) {
    return { course: { ...course, round, least: undefined, stalled: 0, spent: 0 }, judgement: wait };
  }
  if (sample.passes === open.from.passes || sample.atMs - open.from.atMs < roundMs) {
    return { course: { ...course, round: { ...open, left: Math.max(open.left, sample.remaining) } }, judgement: wait };
  }

  const { left } = open;
  const slowed = sample.throttlePercent > open.from.throttlePercent;
  if (course.least === undefined || slowed || left <= course.least * closer) {
    return { course: { ...course, round, least: left, stalled: 0, spent: 0 }, judgement: wait };
  }
  const stalled = course.stalled + 1;
  const now = { ...course, round, stalled };
  if (sample.throttlePercent < bounds.maxThrottlePercent && stalled < throttlePatience) return { course: now, judgement: wait };
  if (course.budgetMs < bounds.maxDowntimeMs) {
    const budgetMs = Math.min(bounds.maxDowntimeMs, Math.ceil(course.budgetMs * budgetGrowth));
    return { course: { ...now, budgetMs }, judgement: { do: 'raise-budget', downtimeMs: budgetMs } };
  }
  const spent = course.spent + 1;
  const judgement: Judgement = spent < lastRounds ? wait : { do: 'give-up', figures: figuresOf(open, sample, course.budgetMs) };
  return { course: { ...now, spent }, judgement };
}

const figuresOf = ({ from, left }: Round, sample: Sample, budgetMs: number): Figures => ({
  passes: sample.passes,
  left,
  dirtyBytesPerSecond: sample.dirtyBytesPerSecond,
  throughputBytesPerSecond: ((sample.sent - from.sent) / (sample.atMs - from.atMs)) * 1000,
  throttlePercent: sample.throttlePercent,
  budgetMs,
});

/** The figures in words, without the VM's name. */
export function inWords(figures: Figures, { maxDowntimeMs, maxThrottlePercent }: Bounds): string {
  const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const { passes, left, dirtyBytesPerSecond, throughputBytesPerSecond, throttlePercent, budgetMs } = figures;
  const fits = (throughputBytesPerSecond * budgetMs) / 1000;
  return [
    `after ${passes} passes over its memory ${mega(left)} of it are still left at each`,
    `it writes ${mega(dirtyBytesPerSecond)}/s and the channels carry ${mega(throughputBytesPerSecond)}/s`,
    maxThrottlePercent === 0
      ? 'it may not be slowed'
      : `it was slowed by ${throttlePercent} % (at most ${maxThrottlePercent} % is allowed)`,
    `a switch-over of ${budgetMs} ms (at most ${Math.max(budgetMs, maxDowntimeMs)} ms is allowed) has room for ${mega(fits)}`,
  ].join('; ');
}
