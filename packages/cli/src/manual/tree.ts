/** The tree of commands as it is, for whatever has to hold for all of them: help, completion, the reference in docs. */
import type { Command } from 'commander';

/** Without commander's own `help`, which it does not count as one. */
export const partsOf = (command: Command): readonly Command[] => command.commands;

/** As it is typed: `sealift vm migrate`. */
export function pathOf(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

/** Commands that do something, in the order in which help lists them. */
export const leavesOf = (command: Command): readonly Command[] => {
  const parts = partsOf(command);
  return parts.length === 0 ? [command] : parts.flatMap(leavesOf);
};
