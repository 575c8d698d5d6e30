/** What was measured, in few numbers. */

export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

/** Milliseconds, to tenths. */
export function spread(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => rounded(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), most: at(1) };
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;

export interface Target {
  readonly what: string;
  readonly unit: string;
  readonly below: number;
  readonly measured: number;
}

export const isMet = ({ measured, below }: Target): boolean => measured < below;
