/** The explorations that are made: of the machines as they are, and of each rule broken. */
import { administratorMoves } from './administrator.ts';
import { destinationMoves } from './destination-side.ts';
import type { Mutation } from './mutations.ts';
import { realRules } from './rules.ts';
import { sourceMoves } from './source-side.ts';
import { type Options, World } from './world.ts';

const usual: Options = {
  rules: realRules,
  faults: true,
  administrator: 'none',
  repeatedOrders: false,
  strangeStreams: true,
  postcopy: false,
  forgets: true,
};

export function worldOf(options: Partial<Options> = {}): World {
  const all = { ...usual, ...options };
  return new World(all, [sourceMoves, destinationMoves, ...(all.administrator === 'none' ? [] : [administratorMoves])]);
}

/** A strange stream is let in only where that is what the rule is about: it would be the shortest way to harm with most of them. */
export const mutated = ({ rules, options }: Mutation): World =>
  worldOf({ strangeStreams: false, ...options, rules: { ...realRules, ...rules } });
