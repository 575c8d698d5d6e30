/** What rounds come to. Every figure is of one variant in one round; a round holds each variant once, measured one after the other. */

/** By name, with its unit: `wall s`, `CPU s/GB`. A GB is 10⁹ bytes. */
export type Figures = Readonly<Record<string, number>>;
/** By variant. */
export type Round = Readonly<Record<string, Figures>>;

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** @throws RangeError where there is nothing to take the middle of */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const [least, most] = [sorted[0], sorted.at(-1)];
  const [lower, upper] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (least === undefined || most === undefined || lower === undefined || upper === undefined) throw new RangeError('no values');
  return { median: (lower + upper) / 2, least, most };
}

/** Of the rounds that have it. */
export function summarize(rounds: readonly Round[], variant: string, figure: string): Spread | undefined {
  const values = rounds.flatMap((round) => round[variant]?.[figure] ?? []);
  return values.length === 0 ? undefined : spreadOf(values);
}

/**
 * `variant` / `to`: first of each round, then the median of those, so that whatever slowed down a whole round slows down both.
 *
 * Several variants mean the least of them in that round; one without all of them does not count.
 */
export function ratio(rounds: readonly Round[], variant: readonly string[], to: readonly string[], figure: string): Spread | undefined {
  const least = (round: Round, names: readonly string[]): number | undefined => {
    const values = names.flatMap((each) => round[each]?.[figure] ?? []);
    return values.length < names.length || values.length === 0 ? undefined : Math.min(...values);
  };
  const ratios = rounds.flatMap((round) => {
    const [above, below] = [least(round, variant), least(round, to)];
    return above === undefined || below === undefined ? [] : above / below;
  });
  return ratios.length === 0 ? undefined : spreadOf(ratios);
}

/** In the order in which they first occur. */
export const variantsOf = (rounds: readonly Round[]): string[] => [...new Set(rounds.flatMap((round) => Object.keys(round)))];

/** In a round, the variants begin with another one each time: none is always the first. */
export const turned = <T>(variants: readonly T[], round: number): T[] => {
  const by = variants.length === 0 ? 0 : round % variants.length;
  return [...variants.slice(by), ...variants.slice(0, by)];
};
