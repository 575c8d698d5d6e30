/** `npm run demo`: moves a running guest between two hosts, and shows what the client and the wire saw of it. */
import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { Listr, type ListrTask } from 'listr2';
import { type Lab, labOf, requireAbsent, requireRoot, saveLogs, takeDown } from '../lab/lifecycle.ts';
import { untilInterrupted } from '../system/interrupt.ts';
import { abortable } from './abortable.ts';
import { accountOf } from './account.ts';
import type { DemoResult } from './result.ts';
import { type Step, Story } from './story.ts';

interface Options {
  readonly keep?: true;
  readonly json?: string;
  readonly memory: number;
}

/** A step that takes longer than this hangs. */
const stepWithinMs = 300_000;

const mebibytes = (text: string): number => {
  const value = Number(text);
  if (!/^\d{1,6}$/.test(text) || value < 256) throw new InvalidArgumentError('the guest needs at least 256 MiB');
  return value;
};

const options = new Command('demo')
  .description(
    'Brings up two hosts on this machine, boots a Linux guest with Redis, and moves it live from one to the other and back: twice sealed, ' +
      'then once clear as a control. Fails when a write is lost, or when anything of the guest can be read on the wire while sealed. Needs root.',
  )
  .option('--keep', 'leave the hosts and the guest running, and the captures')
  .option('--json <file>', 'write the results to a file')
  .option('--memory <MiB>', "the guest's memory", mebibytes, 512)
  .parse()
  .opts<Options>();

/** Plain lines where the output is not a terminal: then only what is worth a line of its own. */
const runSteps = async (steps: readonly Step[], signal: AbortSignal): Promise<void> => {
  const tasks = steps.map(
    ({ title, run }): ListrTask => ({
      title,
      task: async (_, task) => {
        const progress = (text: string): void => {
          if (process.stdout.isTTY) task.output = text;
        };
        const limit = new AbortController();
        const timer = setTimeout(() => limit.abort(new Error(`not done after ${stepWithinMs / 1000} s`)), stepWithinMs);
        const came = await abortable(run(progress), AbortSignal.any([signal, limit.signal])).finally(() => clearTimeout(timer));
        if (came !== '') task.title = `${title}: ${came}`;
      },
    }),
  );
  // Being interrupted is handled here, with what was started in mind.
  await new Listr(tasks, { registerSignalListeners: false, fallbackRenderer: 'simple', rendererOptions: { collapseErrors: false } }).run();
};

const play = async (lab: Lab, signal: AbortSignal): Promise<DemoResult> => {
  await using story = new Story(lab, { memoryMiB: options.memory, keep: options.keep === true, signal });
  await runSteps(story.steps, signal);
  return story.result;
};

const main = async (): Promise<number> => {
  requireRoot();
  const lab = labOf('demo');
  await requireAbsent(lab); // one that is there is not this run's to take down
  using interrupted = untilInterrupted();
  let result: DemoResult | undefined;
  let failure: unknown;
  try {
    result = await play(lab, interrupted.signal);
  } catch (error) {
    failure = error;
  }
  if (failure !== undefined || result?.ok !== true) {
    if (failure !== undefined) process.stderr.write(`\nThe demo failed: ${failure instanceof Error ? failure.message : failure}\n`);
    process.stderr.write(`Logs of the manager, the agents and the guest: ${await saveLogs(lab)}\n`);
  }
  if (result !== undefined) {
    process.stdout.write(`\n${accountOf(result)}\n`);
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(result, undefined, 2)}\n`);
  }
  if (options.keep) {
    process.stdout.write(
      `\nKept: export SEALIFT_MANAGER=unix:${lab.paths.managerSocket}; when done: bin/sealift lab down --id ${lab.id}\n`,
    );
  } else {
    await takeDown(lab);
  }
  if (interrupted.signal.aborted) return 130;
  return result?.ok === true ? 0 : 1;
};

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
