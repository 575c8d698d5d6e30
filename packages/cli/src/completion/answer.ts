/** `sealift __complete WORD…`: what the shells' scripts ask on each Tab. No command of the tree, as people have no use for it. */
import { Command } from 'commander';
import { handOvers, isHandOver } from '../hand-over.ts';
import { createProgram } from '../program.ts';
import { complete } from './complete.ts';
import { namesFromManager } from './names.ts';

/**
 * The first line is `files` or `words`; each other one a word, a tab, and a few words about it.
 * @returns '' where anything goes wrong: a shell that is completing has no place for complaints
 */
export async function answer(words: readonly string[]): Promise<string> {
  try {
    const found = await complete(await treeFor(words), words, namesFromManager(words));
    if (found === 'files') return 'files\n';
    const lines = found.map(({ value, about }) => `${value}\t${about.replaceAll(/\s+/g, ' ')}`);
    return `${['words', ...lines].join('\n')}\n`;
  } catch {
    return '';
  }
}

/** With the part of another package where the line is about it, and with what there is help about. */
async function treeFor([first = '']: readonly string[]): Promise<Command> {
  if (isHandOver(first)) return new Command().addCommand((await handOvers[first].load()).name(first));
  const help = new Command('help').description('what a command does, its options, examples');
  for (const part of createProgram().commands) help.addCommand(part);
  help.command('exit-codes').description('with which status commands end');
  return createProgram().addCommand(help);
}
