/** The tree of commands as it is, for whatever has to hold for all of them: help, completion, the reference in docs. */
import type { Command } from 'commander';

/** commander makes `help` of every group by itself, and hides nothing else of what we add. */
export const partsOf = (command: Command): Command[] => command.commands.filter((part) => part.name() !== 'help');

/** As it is typed: `sealift vm migrate`. */
export function pathOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

/** Commands that do something, in the order in which help lists them. */
export const leavesOf = (command: Command): Command[] => {
  const parts = partsOf(command);
  return parts.length === 0 ? [command] : parts.flatMap(leavesOf);
};
