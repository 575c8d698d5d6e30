/** `npm run chaos`: strikes migrations of a running guest at every stage, and judges what becomes of the VM. Needs root. */
import { appendFile, writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { type Lab, labOf, requireAbsent, requireRoot, saveLogs, takeDown } from '../lab/lifecycle.ts';
import { checkId } from '../lab/paths.ts';
import { untilInterrupted } from '../system/interrupt.ts';
import { cells, nameOf, planOfRuns, type Run } from './cells.ts';
import { Ground } from './ground.ts';
import type { Account } from './judge.ts';
import { perform } from './perform.ts';
import { render } from './table.ts';

interface Options {
  readonly runs?: number;
  readonly seed: number;
  readonly only?: RegExp;
  readonly json?: string;
  readonly table?: string;
  readonly id: string;
  readonly labs: number;
  readonly list?: true;
  readonly keep?: true;
}

const whole = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number');
  return Number(text);
};

const options = new Command('chaos')
  .description(
    'Moves a running guest to and fro between two hosts on this machine, and kills, stops, cuts off or slows down what takes part in it, at every ' +
      'stage. Fails where the VM ever runs twice, is lost without need, loses a write, or leaves anything behind. Needs root.',
  )
  .option('--runs <number>', 'how many; every cell once by default', whole)
  .option('--seed <number>', 'decides moments, durations and the order', whole, 1)
  .option('--only <regex>', 'only cells whose name matches', (text: string) => new RegExp(text))
  .option('--json <file>', 'one line for each run, as it ends')
  .option('--table <file>', 'the table of all cells, in Markdown')
  .option('--id <id>', "the lab's name", 'chaos')
  .option('--labs <number>', 'so many side by side', whole, 1)
  .option('--list', 'say which cells there are, and do nothing')
  .option('--keep', 'stop at the first violation, and leave the lab as it is')
  .parse()
  .opts<Options>();

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** @param index from 1 */
const lineOf = ({ run, outcome, held, phase, tookMs, guestGapMs, violations }: Account, index: number, count: number): string => {
  const verdict = violations.length === 0 ? 'ok' : `VIOLATION ${violations.join('; ')}`;
  const off = held ? ', QEMU did not let go' : '';
  const gap = outcome === 'lost' ? '' : `, gap ${(guestGapMs / 1000).toFixed(1)} s`;
  return `${index}/${count} ${nameOf(run.cell)}: ${outcome} (${phase}), ${(tookMs / 1000).toFixed(1)} s${gap}${off}: ${verdict}`;
};

/** After each run: a long one shows what it has so far. */
const writeTable = async (accounts: readonly Account[], begun: number): Promise<void> => {
  if (options.table === undefined) return;
  await writeFile(options.table, render(accounts, { seed: options.seed, minutes: (performance.now() - begun) / 60_000 }));
};

interface Work {
  readonly runs: Run[];
  readonly count: number;
  readonly accounts: Account[];
  readonly begun: number;
  readonly signal: AbortSignal;
}

/** Takes runs until there are none left, in a lab of its own that is made anew after each violation. @returns whether the lab was kept */
const workIn = async (lab: Lab, { runs, count, accounts, begun, signal }: Work): Promise<boolean> => {
  let ground: Ground | undefined;
  let kept = false;
  try {
    for (let run = runs.shift(); run !== undefined; run = runs.shift()) {
      ground ??= await Ground.up(lab, signal, say);
      const account = await perform(ground, run);
      accounts.push(account);
      say(lineOf(account, accounts.length, count));
      if (options.json !== undefined) await appendFile(options.json, `${JSON.stringify(account)}\n`);
      await writeTable(accounts, begun);
      if (account.violations.length > 0) {
        say(`  again: npm run chaos -- --seed ${options.seed} --only '^${nameOf(run.cell)}$' --runs ${run.round + 1}`);
        say(
          `  migration ${account.migration}, from ${account.source}; ${account.failure ?? 'no failure told'}; logs: ${await saveLogs(lab)}`,
        );
        if (options.keep) {
          kept = true;
          runs.splice(0);
          break;
        }
        // What went wrong must not be what the next run begins with.
        await ground[Symbol.asyncDispose]();
        ground = undefined;
      } else if (account.outcome === 'lost') await ground.boot();
      else if (account.held) await ground.powerCycle();
    }
    return kept;
  } catch (error) {
    runs.splice(0);
    if (!signal.aborted) say(`logs: ${await saveLogs(lab)}`);
    throw error;
  } finally {
    if (!kept) await (ground ? ground[Symbol.asyncDispose]() : takeDown(lab));
  }
};

const chaos = async (): Promise<number> => {
  const wanted = cells.filter((cell) => options.only?.test(nameOf(cell)) ?? true);
  if (options.list) {
    for (const cell of wanted) say(nameOf(cell));
    return 0;
  }
  if (wanted.length === 0) throw new Error(`no cell is named like ${options.only}; --list says which there are`);
  requireRoot();
  const labs = Array.from({ length: options.labs }, (_, index) => labOf(checkId(`${options.id}${index === 0 ? '' : index}`)));
  for (const lab of labs) await requireAbsent(lab);
  using interrupted = untilInterrupted();
  const count = options.runs ?? wanted.length;
  const runs = planOfRuns(count, options.seed, wanted);
  const accounts: Account[] = [];
  const begun = performance.now();
  const results = await Promise.allSettled(labs.map((lab) => workIn(lab, { runs, count, accounts, begun, signal: interrupted.signal })));
  if (interrupted.signal.aborted) return 130;
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  const minutes = (performance.now() - begun) / 60_000;
  const violated = accounts.filter(({ violations }) => violations.length > 0);
  say(
    `${accounts.length} runs of ${wanted.length} cells in ${minutes.toFixed(1)} min, seed ${options.seed}: ${violated.length} with violations`,
  );
  return violated.length === 0 ? 0 : 1;
};

try {
  process.exitCode = await chaos();
} catch (error) {
  process.stderr.write(`chaos: ${error instanceof Error ? (error.stack ?? error.message) : error}\n`);
  process.exitCode = 1;
}
process.exit(); // what was watched for goes with the process
