/** What every suite does alike: its options, rounds in which variants take turns, and what is told of them in the end. */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { type Figures, type Round, turned } from './figures.ts';
import { machineFacts } from './machine.ts';
import { type Comparison, chart, comparisons, picture, table } from './render.ts';

export interface Variant {
  readonly name: string;
  /** Measures it once; whatever it starts has ended when this settles. */
  measure(): Promise<Figures>;
}

interface Given {
  /** MiB that one measurement moves. */
  readonly mebibytes: number;
  readonly quick: boolean;
}

export interface Suite {
  readonly name: string;
  /** What it measures, and how; for --help. */
  readonly words: string;
  readonly mebibytes: number;
  /** How many rounds, and MiB, with --quick. */
  readonly quick: { readonly rounds: number; readonly mebibytes: number };
  readonly programs?: Readonly<Record<string, readonly [string, ...string[]]>>;
  /** For the table; the first of {@link charted} is drawn. */
  readonly figures: readonly string[];
  readonly charted: string;
  readonly comparisons: readonly Comparison[];
  /** Runs `use` with the variants, and takes away all that they needed. @throws Error saying what is missing */
  within(given: Given, use: (variants: readonly Variant[]) => Promise<void>): Promise<void>;
}

const usage = (suite: Suite): string => `usage: npm run bench -- ${suite.name} [options]

${suite.words}

  --rounds N     in which every variant is measured once, in turn (5)
  --memory N     MiB that one measurement moves (${suite.mebibytes})
  --only TEXT    variants whose names hold it; several times for several
  --quick        ${suite.quick.rounds} rounds of ${suite.quick.mebibytes} MiB
  --json FILE    all figures, with the machine's facts
  --chart FILE   ${suite.charted} as SVG
  --png FILE     the same as PNG
  --help
`;

const whole = (name: string, text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`--${name} is a whole number from 1 to 999999, not ${text}`);
  return Number(text);
};

/** @returns the exit status: 0, 1 where a variant failed in a round, or 2 for wrong options */
export async function runSuite(suite: Suite, args: string[]): Promise<number> {
  const string = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  let given: Given & {
    rounds: number;
    only: readonly string[];
    json: string | undefined;
    chart: string | undefined;
    png: string | undefined;
  };
  try {
    const only = { type: 'string', multiple: true } as const;
    const { values } = parseArgs({
      args,
      options: { rounds: string, memory: string, json: string, chart: string, png: string, only, quick: flag, help: flag },
    });
    if (values.help) {
      process.stdout.write(usage(suite));
      return 0;
    }
    given = {
      quick: values.quick,
      rounds: whole('rounds', values.rounds ?? String(values.quick ? suite.quick.rounds : 5)),
      mebibytes: whole('memory', values.memory ?? String(values.quick ? suite.quick.mebibytes : suite.mebibytes)),
      only: values.only ?? [],
      json: values.json,
      chart: values.chart,
      png: values.png,
    };
  } catch (error) {
    process.stderr.write(`bench ${suite.name}: ${error instanceof Error ? error.message : String(error)}\n${usage(suite)}`);
    return 2;
  }
  const facts = machineFacts(suite.programs);
  const rounds: Round[] = [];
  /** Of the last minute, before each round: what others did on the machine, or the round before. */
  const loadAverages: number[] = [];
  const failures: { round: number; variant: string; why: string }[] = [];
  await suite.within(given, async (all) => {
    const variants = all.filter(({ name }) => given.only.length === 0 || given.only.some((text) => name.includes(text)));
    if (variants.length === 0)
      throw new Error(`bench ${suite.name}: no variant is named so; there are ${all.map(({ name }) => name).join(', ')}`);
    for (let round = 0; round < given.rounds; round++) {
      loadAverages.push(os.loadavg()[0] ?? 0);
      const measured: Record<string, Figures> = Object.fromEntries(variants.map(({ name }) => [name, {}]));
      for (const variant of turned(variants, round)) {
        process.stderr.write(`bench ${suite.name}: round ${round + 1} of ${given.rounds}: ${variant.name}\n`);
        try {
          measured[variant.name] = await variant.measure();
        } catch (error) {
          // One that fails in one round, as a peer may, takes no other's figures with it: its place in the round stays empty.
          const why = error instanceof Error ? error.message : String(error);
          failures.push({ round: round + 1, variant: variant.name, why });
          process.stderr.write(`bench ${suite.name}: round ${round + 1}: ${variant.name} failed: ${why}\n`);
        }
      }
      rounds.push(measured);
    }
  });
  const loads = loadAverages.map((load) => load.toFixed(2)).join(' ');
  const machine = `${facts.cpu}, ${facts.cores} cores, Linux ${facts.kernel}; load before each round: ${loads}`;
  const compared = comparisons(rounds, suite.comparisons);
  process.stdout.write(`${machine}\n${given.mebibytes} MiB a measurement; median (least–most) of ${given.rounds} rounds\n\n`);
  process.stdout.write(`${table(rounds, suite.figures)}\n${compared && `\n${compared}\n`}`);
  for (const { round, variant, why } of failures) process.stdout.write(`\nround ${round}: ${variant} failed: ${why}\n`);
  if (given.json) {
    const { rounds: count, mebibytes } = given;
    writeFileSync(
      given.json,
      `${JSON.stringify({ suite: suite.name, count, mebibytes, machine: facts, loadAverages, failures, rounds }, undefined, 2)}\n`,
    );
  }
  const svg = chart(rounds, suite.charted, `${suite.name}, ${facts.cores} cores of ${facts.cpu}`);
  if (given.chart) writeFileSync(given.chart, svg);
  if (given.png) writeFileSync(given.png, picture(svg));
  return failures.length === 0 ? 0 : 1;
}
