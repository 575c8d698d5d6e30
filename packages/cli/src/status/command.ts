/** `sealift status`: everything on one screen. */
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import { describe } from '../manual/manual.ts';
import { plainLine } from '../migration/render.ts';
import { type Io, printJson } from '../output/io.ts';
import { formatTime } from '../output/units.ts';
import { progressLine } from '../task/render.ts';
import type { Status } from './gather.ts';

export function addStatusCommand(program: Command): void {
  describe(
    program
      .command('status')
      .description('the manager and what it looks after, on one screen')
      .action((_options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const { gather } = await import('./gather.ts');
          const status = await gather(manager, Date.now());
          if (io.json) printJson(io, status);
          else printStatus(io, status);
        }),
      ),
    {
      about: [
        'Hosts and VMs by state, migrations with their progress, tasks, and loudly whatever is wrong: hosts that do not answer or cannot seal, ' +
          'VMs that do not fit what hosts say, and VMs that were moved without encryption within the last day. Long lists are cut; how to see the rest is said.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift status', 'is all well?'],
        ['sealift status --json', 'the same as one object, uncut'],
      ],
    },
  );
}

/** A screen has 24 lines, and no part may push the others off it. */
const shown = 5;

const counts = (byState: Readonly<Record<string, number>>): string => {
  const parts = Object.entries(byState).map(([state, amount]) => `${amount} ${state}`);
  return parts.length === 0 ? '' : `  (${parts.join(', ')})`;
};

function printStatus(io: Io, status: Status): void {
  const { version, hosts, vms, hostsByState, vmsByState, migrations, tasks, clear, problems } = status;
  io.print(`manager     ${version}, answers`);
  io.print(`hosts       ${hosts}${counts(hostsByState)}`);
  io.print(`VMs         ${vms}${counts(vmsByState)}`);
  printPart(io, 'migrations', migrations.map(plainLine), 'sealift migration ls --running', 'none goes on');
  // A migration has its line above.
  const others = tasks.filter(({ kind }) => kind !== 'migrate');
  printPart(io, 'tasks', others.map(progressLine), 'sealift task ls --state running', 'none goes on');
  printPart(
    io,
    'CLEAR',
    clear.map(
      (it) => `${it.vm} ${it.from} → ${it.to}, ${formatTime(it.orderedAt)}: NOT encrypted: ${it.clearBecause ?? 'no reason was given'}`,
    ),
    'sealift migration ls',
  );
  printPart(io, 'PROBLEMS', problems, 'sealift status --json');
  if (problems.length === 0) io.print('problems    none');
}

function printPart(io: Io, name: string, lines: readonly string[], more: string, empty?: string): void {
  if (lines.length === 0) {
    if (empty !== undefined) io.print(`${name.padEnd(10)}  ${empty}`);
    return;
  }
  io.print(`${name.padEnd(10)}  ${lines.length}`);
  for (const line of lines.slice(0, shown)) io.print(`  ${line}`);
  if (lines.length > shown) io.print(`  and ${lines.length - shown} more: ${more}`);
}
