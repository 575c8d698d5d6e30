/** What `--help` of a command says beyond its options, in the order of a manual page: what it does, what it changes, examples, exit statuses. */
import type { Command } from 'commander';
import { type ExitCode, meaningOf } from '../exit-codes.ts';

export interface Manual {
  /** What it does, a paragraph each. */
  readonly about: readonly string[];
  /** What is different afterwards; "Nothing." where nothing is. */
  readonly changes: string;
  /** A command line, and what it is for. */
  readonly examples: readonly (readonly [line: string, purpose: string])[];
  /** What a script should expect beside 0, 2 and 9, which may come from any command that asks the manager. */
  readonly exits?: readonly ExitCode[];
  /** It asks no manager. */
  readonly alone?: true;
}

const manuals = new WeakMap<Command, Manual>();

/** Of any command that asks a manager. */
const usual: readonly ExitCode[] = [0, 2, 9];

const width = 96;

/** @returns the command, for chaining */
export function describe(command: Command, manual: Manual): Command {
  manuals.set(command, manual);
  return command.addHelpText('after', () => `\n${manualText(manual)}`);
}

export const manualOf = (command: Command): Manual | undefined => manuals.get(command);

/** Ascending, each once. */
export const exitsOf = ({ exits = [], alone }: Manual): ExitCode[] =>
  [...new Set([...(alone ? ([0, 2] as const) : usual), ...exits])].sort((a, b) => a - b);

function manualText(manual: Manual): string {
  const { about, changes, examples } = manual;
  return [
    'What it does:',
    ...about.flatMap((paragraph, n) => [...(n > 0 ? [''] : []), ...wrap(paragraph, '  ')]),
    '',
    'What it changes:',
    ...wrap(changes, '  '),
    '',
    'Examples:',
    ...examples.flatMap(([line, purpose]) => [`  ${line}`, ...wrap(purpose, '      ')]),
    '',
    'Exit statuses (all of them: sealift help exit-codes):',
    ...exitsOf(manual).flatMap((exit) => wrap(`${String(exit).padStart(3)}  ${meaningOf(exit)}`, '  ', '       ')),
  ].join('\n');
}

/** Breaks at spaces, so that no line is wider than a page. */
function wrap(text: string, indent: string, further = indent): string[] {
  const lines: string[] = [];
  let line = indent;
  let empty = true;
  for (const word of text.split(' ')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = further;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}
