/** What a run came to, for people: a table and a chart. */
import { Resvg } from '@resvg/resvg-js';
import { type Round, ratio, type Spread, summarize, variantsOf } from './figures.ts';

/** A ratio that the suite tells: the least of {@link variant} to the least of {@link to}, in that figure. */
export interface Comparison {
  readonly variant: string | readonly string[];
  readonly to: readonly string[];
  readonly figure: string;
}

const spread = ({ median, least, most }: Spread): string => `${short(median)} (${short(least)}–${short(most)})`;
const short = (value: number): string => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 3);

/** A median with the least and the most for each variant and figure. */
export function table(rounds: readonly Round[], figures: readonly string[]): string {
  const rows = variantsOf(rounds).map((variant) => [
    variant,
    ...figures.map((figure) => {
      const found = summarize(rounds, variant, figure);
      return found ? spread(found) : '-';
    }),
  ]);
  return aligned([['', ...figures], ...rows]);
}

export function comparisons(rounds: readonly Round[], wanted: readonly Comparison[]): string {
  const rows = wanted.flatMap(({ variant: one, to, figure }) => {
    const variant = [one].flat();
    const found = ratio(rounds, variant, to, figure);
    return found ? [[`${leastOf(variant)} / ${leastOf(to)}`, figure, spread(found)]] : [];
  });
  return rows.length === 0 ? '' : aligned([['ratio, round by round', 'of', 'median (least–most)'], ...rows]);
}

const leastOf = (names: readonly string[]): string => (names.length > 1 ? `least of (${names.join('; ')})` : names.join());

function aligned(rows: readonly string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** A bar for each variant's median, and a line from the least to the most. */
export function chart(rounds: readonly Round[], figure: string, title: string): string {
  const bars = variantsOf(rounds).flatMap((variant) => {
    const found = summarize(rounds, variant, figure);
    return found ? [{ variant, ...found }] : [];
  });
  const [left, width, step, top] = [260, 480, 28, 56];
  const most = Math.max(...bars.map((bar) => bar.most), Number.MIN_VALUE);
  const x = (value: number): string => (left + (value / most) * width).toFixed(1);
  const rows = bars.map((bar, index) => {
    const y = top + index * step;
    const middle = y + 9;
    return [
      `<text x="${left - 8}" y="${y + 13}" text-anchor="end">${escaped(bar.variant)}</text>`,
      `<rect x="${left}" y="${y}" width="${((bar.median / most) * width).toFixed(1)}" height="18" fill="#4f8fce"/>`,
      `<path d="M${x(bar.least)} ${middle}H${x(bar.most)}" stroke="#1b2733" stroke-width="2"/>`,
      `<text x="${left + width + 8}" y="${y + 13}">${short(bar.median)}</text>`,
    ].join('\n');
  });
  const height = top + bars.length * step + 12;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 ${height}" font-family="DejaVu Sans, sans-serif" font-size="13" fill="#1b2733">
<rect width="820" height="${height}" fill="#fff"/>
<text x="16" y="24" font-size="16">${escaped(title)}</text>
<text x="16" y="42" fill="#5a6b7b">${escaped(figure)}: median, line from least to most; less is better</text>
${rows.join('\n')}
</svg>
`;
}

/** The same for where SVG is not shown, at twice its size. The letters are of what the machine has. */
export const picture = (svg: string): Buffer => new Resvg(svg, { fitTo: { mode: 'zoom', value: 2 } }).render().asPng();
