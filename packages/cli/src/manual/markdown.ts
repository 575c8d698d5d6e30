/** docs/cli.md, from the tree of commands: `sealift help markdown > docs/cli.md`. A test holds the document to it. */
import type { Command } from 'commander';
import { meaningOf } from '../exit-codes.ts';
import { isHandOver } from '../hand-over.ts';
import { createProgram } from '../program.ts';
import { exitsOf, manualOf } from './manual.ts';
import { leavesOf, pathOf } from './tree.ts';

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  rows.length === 0
    ? []
    : ['', ...[head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)];

export function markdown(): string {
  const program = createProgram();
  const leaves = leavesOf(program);
  const ours = leaves.filter((command) => manualOf(command));
  const others = leaves.filter((command) => isHandOver(command.name()));
  return [
    '# The sealift command',
    '',
    '<!-- Made by: sealift help markdown > docs/cli.md -->',
    '',
    `${program.description()} Each command says all of this with \`--help\`; exit statuses are in \`sealift help exit-codes\`.`,
    'Completion for bash, zsh and fish: `sealift completion --help`.',
    '',
    'Options that every command takes:',
    ...table(
      ['option', ''],
      program.options.map(({ flags, description }) => [`\`${flags}\``, description]),
    ),
    '',
    'Results are on standard output, everything about how it goes on standard error. With `--json` a result is a document of the API’s schema,',
    'an error is `{"error": {"code", "message"}}` on standard error, and watching prints a document a line.',
    ...table(
      ['command', ''],
      ours.map((command) => [`[\`${pathOf(command)}\`](#${anchorOf(command)})`, command.description()]),
    ),
    '',
    'Parts that have their own help:',
    ...table(
      ['command', ''],
      others.map((command) => [`\`${pathOf(command)} --help\``, command.description()]),
    ),
    ...ours.flatMap(section),
    '',
  ].join('\n');
}

const anchorOf = (command: Command): string => pathOf(command).replaceAll(' ', '-');

function section(command: Command): string[] {
  const manual = manualOf(command);
  if (!manual) return [];
  return [
    '',
    `## ${pathOf(command)}`,
    '',
    `    ${pathOf(command)} ${command.usage()}`,
    '',
    ...manual.about.flatMap((paragraph, n) => [...(n > 0 ? [''] : []), paragraph]),
    '',
    `What it changes: ${manual.changes}`,
    ...table(
      ['', ''],
      [
        ...command.registeredArguments.map((argument) => [
          `\`${argument.name()}\``,
          withChoices(argument.description, argument.argChoices),
        ]),
        ...command.options.map(({ flags, description, argChoices }) => [`\`${flags}\``, withChoices(description, argChoices)]),
      ],
    ),
    '',
    ...manual.examples.map(([line, purpose]) => `- \`${line}\`: ${purpose}`),
    '',
    `Exit statuses: ${exitsOf(manual)
      .map((exit) => `${exit} (${meaningOf(exit)})`)
      .join('; ')}.`,
  ];
}

const withChoices = (description: string, choices: readonly string[] | undefined): string =>
  choices ? `${description} (${choices.join(', ')})` : description;
