/** One command line: runs the command, and turns what went wrong into words and an exit status. */
import { CommanderError } from 'commander';
import { complaintOf, exitCodesHelp } from './exit-codes.ts';
import { handOver, isHandOver } from './hand-over.ts';
import { createProgram } from './program.ts';

/** @returns the exit status */
export async function run(args: readonly string[]): Promise<number> {
  const [first, second] = args;
  try {
    if (first === 'help' && second === 'exit-codes') process.stdout.write(await exitCodesHelp());
    else if (first === 'help' && second === 'markdown') process.stdout.write((await import('./manual/markdown.ts')).markdown());
    else if (first === '__complete') process.stdout.write(await (await import('./completion/answer.ts')).answer(args.slice(1)));
    else if (first === 'help' && isHandOver(second)) await handOver(second, ['--help']);
    else if (isHandOver(first)) await handOver(first, args.slice(1));
    else await createProgram().parseAsync(args, { from: 'user' });
  } catch (error) {
    return explain(error, args.includes('--json'));
  }
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}

async function explain(error: unknown, json: boolean): Promise<number> {
  // commander has said its part; help and version were asked for, everything else was not right.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const name = error instanceof Error ? error.name : '';
  const { exit, text, body } = await complaintOf(error);
  if (name === 'LeftWatching') {
    process.stderr.write(`${(error as Error).message}\n`); // by its name an Error
    return 130;
  }
  // What became of it has been shown, or printed as its last JSON line.
  if (name !== 'AlreadyTold') process.stderr.write(json ? `${JSON.stringify(body)}\n` : `${text}\n`);
  return exit;
}
