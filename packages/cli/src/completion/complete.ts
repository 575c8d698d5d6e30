/** What could stand at the end of a command line, from the tree of commands as it is. */
import type { Argument, Command, Option } from 'commander';
import { partsOf } from '../manual/tree.ts';

export interface Suggestion {
  readonly value: string;
  /** In a few words, on one line. */
  readonly about: string;
}

/** Of things whose names only the manager knows. In help they stand as `<vm>`, `<host>` and so on. */
export const kinds = ['vm', 'host', 'cluster', 'rule', 'task', 'migration'] as const;
export type Kind = (typeof kinds)[number];

/** Names that begin with `prefix`, as far as they are known. */
export type Names = (kind: Kind, prefix: string) => Promise<readonly Suggestion[]>;

/** `files`: names of files, which the shell knows best. */
export type Completion = 'files' | readonly Suggestion[];

/** @param words behind the program's name, up to the cursor; the last is the one that is being written, and may be empty */
export async function complete(program: Command, words: readonly string[], names: Names): Promise<Completion> {
  const current = words.at(-1) ?? '';
  const place = placeAfter(program, words.slice(0, -1));
  const found = await suggest(place, current, names);
  return found === 'files' ? found : found.filter(({ value }) => value.startsWith(current));
}

interface Place {
  readonly command: Command;
  /** Arguments that were given to it. */
  readonly given: number;
  /** An option whose value comes next. */
  readonly pending: Option | undefined;
  readonly used: ReadonlySet<Option>;
}

function placeAfter(program: Command, words: readonly string[]): Place {
  let command = program;
  let given = 0;
  let pending: Option | undefined;
  const used = new Set<Option>();
  for (const word of words) {
    if (pending) pending = undefined;
    else if (word.startsWith('-')) {
      const option = optionsOf(command).find((each) => isNamed(each, word.split('=')[0]));
      if (!option) continue;
      used.add(option);
      if (option.required && !word.includes('=')) pending = option;
    } else {
      const part = given === 0 ? partsOf(command).find((each) => each.name() === word) : undefined;
      if (part) command = part;
      else given++;
    }
  }
  return { command, given, pending, used };
}

const isNamed = ({ long, short }: Option, flag: string | undefined): boolean => flag !== undefined && (flag === long || flag === short);

/** An option of the program may stand behind any command. */
function optionsOf(command: Command): Option[] {
  const options: Option[] = [];
  for (let at: Command | null = command; at; at = at.parent) options.push(...at.options.filter(({ hidden }) => !hidden));
  return options;
}

async function suggest({ command, given, pending, used }: Place, current: string, names: Names): Promise<Completion> {
  if (pending) return valuesOf(pending, current, names);
  const [, flag, begun] = /^(--[^=]+)=(.*)$/.exec(current) ?? [];
  if (flag !== undefined && begun !== undefined) {
    const option = optionsOf(command).find((each) => isNamed(each, flag));
    const values = option ? await valuesOf(option, begun, names) : [];
    return values === 'files' ? values : values.map(({ value, about }) => ({ value: `${flag}=${value}`, about }));
  }
  if (current.startsWith('-')) {
    const free = optionsOf(command).filter((option) => !used.has(option) || option.variadic || option.description.includes('repeatable'));
    const help = { value: '--help', about: 'what it does, its options, examples' };
    return [...free.map((option) => ({ value: option.long ?? option.short ?? '', about: option.description })), help];
  }
  const parts = partsOf(command);
  if (parts.length > 0) return given > 0 ? [] : parts.map((part) => ({ value: part.name(), about: part.description() }));
  const last = command.registeredArguments.at(-1);
  const argument = command.registeredArguments[given] ?? (last?.variadic ? last : undefined);
  return argument ? valuesOf(argument, current, names) : [];
}

async function valuesOf(of: Option | Argument, current: string, names: Names): Promise<Completion> {
  if (of.argChoices) return of.argChoices.map((value) => ({ value, about: '' }));
  const placeholder = 'flags' in of ? (/<([^>]+)>/.exec(of.flags)?.[1] ?? '') : of.name();
  if (placeholder === 'file') return 'files';
  if (/^\w+(\|\w+)+$/.test(placeholder)) return placeholder.split('|').map((value) => ({ value, about: '' }));
  return isKind(placeholder) ? names(placeholder, current) : [];
}

const isKind = (text: string): text is Kind => (kinds as readonly string[]).includes(text);
