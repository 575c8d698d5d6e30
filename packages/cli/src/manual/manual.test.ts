import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { isHandOver } from '../hand-over.ts';
import { createProgram } from '../program.ts';
import { exitsOf, manualOf } from './manual.ts';
import { markdown } from './markdown.ts';
import { leavesOf, partsOf, pathOf } from './tree.ts';

const everything = (command: Command): Command[] => [command, ...partsOf(command).flatMap(everything)];

/** Daemons, the tunnel and the lab have their own help, in their packages. */
const ours = (program: Command): Command[] => leavesOf(program).filter((command) => !isHandOver(command.name()));

test('every command, argument and option says what it is', () => {
  for (const command of everything(createProgram())) {
    assert.ok(command.description(), `${pathOf(command)} has no description`);
    for (const { flags, description } of command.options) assert.ok(description, `${pathOf(command)} ${flags} has no description`);
    for (const argument of command.registeredArguments) {
      assert.ok(argument.description, `${pathOf(command)} <${argument.name()}> has no description`);
    }
  }
});

test('every command has a manual, and its help shows all of it', () => {
  for (const command of ours(createProgram())) {
    const manual = manualOf(command);
    assert.ok(manual, `${pathOf(command)} has no manual`);
    assert.ok(manual.about.join('').length > 10 && manual.changes.length > 5, pathOf(command));
    assert.ok(manual.examples.length > 0, `${pathOf(command)} has no example`);
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).exitOverride();
    assert.throws(() => command.parse(['--help'], { from: 'user' }), { code: 'commander.helpDisplayed' });
    for (const part of ['Usage:', 'What it does:', 'What it changes:', 'Examples:', 'Exit statuses']) {
      assert.ok(help.includes(part), `${pathOf(command)} --help lacks "${part}"`);
    }
    for (const { flags } of command.options) assert.ok(help.includes(flags), `${pathOf(command)} --help lacks ${flags}`);
    for (const [line] of manual.examples) assert.ok(help.includes(line), `${pathOf(command)} --help lacks its example ${line}`);
    for (const exit of exitsOf(manual))
      assert.match(help, new RegExp(`^ +${exit}  \\S`, 'm'), `${pathOf(command)} --help lacks status ${exit}`);
    const wide = help.split('\n').filter((text) => text.length > 110 && !text.includes('sealift '));
    assert.deepEqual(wide, [], `${pathOf(command)} --help has lines that do not fit a page`);
  }
});

test('every example is a command line that its command understands', () => {
  for (const path of ours(createProgram()).map(pathOf)) {
    const program = createProgram();
    let reached = '';
    for (const command of ours(program)) {
      command.action(() => {
        reached = pathOf(command);
      });
    }
    const command = ours(program).find((each) => pathOf(each) === path);
    for (const [line] of (command && manualOf(command)?.examples) ?? []) {
      const [name, ...args] = line.split(' ');
      assert.equal(name, 'sealift', line);
      reached = '';
      program.parse(args, { from: 'user' });
      assert.equal(reached, path, line);
    }
  }
});

test('the reference in docs is that of the commands as they are', async () => {
  const written = await readFile(join(import.meta.dirname, '../../../../docs/cli.md'), 'utf8');
  assert.ok(written === markdown(), 'docs/cli.md is not current; write it with: bin/sealift help markdown > docs/cli.md');
});
