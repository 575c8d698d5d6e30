/** Reads Prometheus' text format 0.0.4 as strictly as Prometheus does, and more: https://prometheus.io/docs/instrumenting/exposition_formats/ */

export interface Family {
  readonly type: string;
  readonly help: string;
  /** By the series as it is written: `name{label="value"}`. */
  readonly samples: Map<string, number>;
}

const name = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const sample = new RegExp(`^(${name})(?:\\{(${label}(?:,${label})*)\\})? (\\S+)$`);
const types = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];
/** What a family's samples may have behind its name. */
const suffixes: Record<string, readonly string[]> = { histogram: ['_bucket', '_sum', '_count'], summary: ['', '_sum', '_count'] };

/** @throws Error that names the line which is not as the format has it */
export function readExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, Family>();
  let current = '';
  let help = '';
  for (const line of text.split('\n')) {
    const fail = (why: string) => new Error(`${why}: ${line}`);
    if (line === '') continue;
    const [, comment, of = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (comment === 'HELP') {
      if (families.has(of)) throw fail('a family a second time');
      [current, help] = [of, rest];
    } else if (comment === 'TYPE') {
      if (of !== current || !types.includes(rest)) throw fail('no such type, or not behind its help');
      families.set(of, { type: rest, help, samples: new Map() });
    } else {
      const [, full = '', labels, value = ''] = sample.exec(line) ?? [];
      const family = families.get(current);
      if (!family || !(suffixes[family.type] ?? ['']).some((suffix) => full === current + suffix)) throw fail('no sample of its family');
      const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
      if (Number.isNaN(number) && value !== 'Nan' && value !== 'NaN') throw fail('no number');
      const series = labels === undefined ? full : `${full}{${labels}}`;
      if (family.samples.has(series)) throw fail('a series a second time');
      family.samples.set(series, number);
    }
  }
  for (const [of, family] of families) if (family.type === 'histogram') checkHistogram(of, family.samples);
  return families;
}

/** Buckets only grow, and the last one is the count. */
function checkHistogram(of: string, samples: ReadonlyMap<string, number>): void {
  const last = new Map<string, number>();
  for (const [series, value] of samples) {
    if (!series.startsWith(`${of}_bucket{`)) continue;
    const others = series.replace(/le="[^"]*",?/, '').replace(/,?\}$/, '');
    if (value < (last.get(others) ?? 0)) throw new Error(`a bucket with less than the one before: ${series}`);
    last.set(others, value);
  }
  for (const [series, value] of samples) {
    if (!series.startsWith(`${of}_count`)) continue;
    const others = series.replace(`${of}_count`, `${of}_bucket`).replace(/\}$/, '');
    if (last.get(others.includes('{') ? others : `${others}{`) !== value) throw new Error(`the last bucket is not the count: ${series}`);
  }
}
