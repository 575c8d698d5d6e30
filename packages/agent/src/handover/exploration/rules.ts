/** What is explored: the machines themselves, and what the agents around them hold to. A mutation replaces one of these. */
import { destinationVerdict, sourceVerdict } from '../../migration/resolution.ts';
import { destinationRestart, destinationStep } from '../destination.ts';
import { sourceRestart, sourceStep } from '../source.ts';

export interface Rules {
  readonly sourceStep: typeof sourceStep;
  readonly sourceRestart: typeof sourceRestart;
  readonly destinationStep: typeof destinationStep;
  readonly destinationRestart: typeof destinationRestart;
  readonly sourceVerdict: typeof sourceVerdict;
  readonly destinationVerdict: typeof destinationVerdict;
  /**
   * Where the journal refuses one of these, what follows it is left out and `journal-failed` comes: as in outgoing.ts, and as the destination's
   * machine asks for, which is what the mark says.
   */
  readonly required: ReadonlySet<string>;
  /** A statement counts only with the other host's signature. */
  readonly statementsAreChecked: boolean;
  /** `granted` counts only where it was said after the destination's agent was back. */
  readonly onlyFreshClears: boolean;
  /** An order for an attempt that is in the journal is refused. */
  readonly acceptedOnce: boolean;
  /** Who is in doubt asks until it is answered. */
  readonly doubtAsks: boolean;
}

export const realRules: Rules = {
  sourceStep,
  sourceRestart,
  destinationStep,
  destinationRestart,
  sourceVerdict,
  destinationVerdict,
  required: new Set(['granted', 'granted+', 'resuming', 'released', 'run!', 'run+!', 'aborted!']),
  statementsAreChecked: true,
  onlyFreshClears: true,
  acceptedOnce: true,
  doubtAsks: true,
};
