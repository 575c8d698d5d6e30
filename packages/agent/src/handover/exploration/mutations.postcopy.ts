/** Each rule of post-copy broken once, as in mutations.ts. */
import { destinationBut, discard, type Mutation, release, resume, sourceBut } from './mutations.ts';
import { realRules } from './rules.ts';

const { sourceRestart, destinationRestart } = realRules;
const options = { postcopy: true } as const;

export const postcopyMutations: readonly Mutation[] = [
  {
    rule: 'a source that feeds a VM that runs elsewhere never runs it again',
    broken: 'the source resumes when the line dies meanwhile',
    rules: sourceBut((state, event) => (state.at === 'feeding' && event.type === 'failed' ? resume : undefined)),
    options,
  },
  {
    rule: 'nothing is released while pages are drawn from it',
    broken: 'the source releases on RUNNING',
    rules: sourceBut((state, event) => (state.at === 'granted' && state.fed && event.type === 'running' ? release : undefined)),
    options,
  },
  {
    rule: 'a source that restarts knows that it granted by post-copy',
    broken: 'its record does not say so',
    rules: { sourceRestart: (step, outcome) => sourceRestart(step, outcome) },
    options: { ...options, administrator: 'careful' },
  },
  {
    rule: 'a destination that restarts knows that pages may be missing',
    broken: 'its record does not say so',
    rules: { destinationRestart: (step, runState, outcome) => destinationRestart(step, runState, outcome) },
    options,
  },
  {
    rule: 'what has run by post-copy is never given back',
    broken: 'the destination says ABORTED when its line dies',
    rules: destinationBut((state, event) => (state.at === 'arriving' && event.type === 'failed' ? discard : undefined)),
    options,
  },
  {
    rule: 'a VM has arrived when every page has',
    broken: 'the destination calls it arrived once it runs',
    rules: destinationBut((state, event) =>
      state.at === 'running' && state.rest && event.type === 'runs'
        ? {
            state: { at: 'ended', outcome: 'arrived', failure: undefined },
            effects: [{ type: 'settle-in' }, { type: 'journal', step: 'ended', outcome: 'arrived' }],
          }
        : undefined,
    ),
    options,
  },
  {
    rule: 'a VM that has every page after all is not ended',
    broken: 'the destination does not hear of it any more once its line has died',
    rules: destinationBut((state, event) => (state.at === 'losing' && event.type === 'loaded' ? { state, effects: [] } : undefined)),
    options,
  },
  {
    rule: 'after a restart, whether pages are missing is found out before the VM is run',
    broken: 'the destination runs it once it is cleared',
    rules: destinationBut((state, event) =>
      state.at === 'returning' && state.postcopy && event.type === 'cleared'
        ? { state: { at: 'running', runState: 'running', sole: true }, effects: [{ type: 'run', runState: 'running' }] }
        : undefined,
    ),
    options,
  },
];
