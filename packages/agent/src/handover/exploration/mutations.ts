/** Each rule of the handover broken once. The exploration has to find what comes of it, or the rule is not shown to be needed. */
import type { DestinationEvent, DestinationState, DestinationTurn } from '../destination.ts';
import type { Failure } from '../records.ts';
import type { SourceEvent, SourceState, SourceTurn } from '../source.ts';
import { type Rules, realRules } from './rules.ts';
import type { Options } from './world.ts';

export interface Mutation {
  /** The rule, as it holds. */
  readonly rule: string;
  /** How it is broken. */
  readonly broken: string;
  readonly rules: Partial<Rules>;
  readonly options?: Partial<Omit<Options, 'rules'>>;
}

const failure: Failure = { code: 'internal', message: 'by a broken rule' };
const { sourceStep, sourceRestart, destinationStep, destinationRestart, sourceVerdict, destinationVerdict, required } = realRules;

/** The machine, but for what is broken: where that has nothing to say, the machine goes on as it does. */
export const sourceBut = (broken: (state: SourceState, event: SourceEvent) => SourceTurn | undefined): Partial<Rules> => ({
  sourceStep: (state, event) => broken(state, event) ?? sourceStep(state, event),
});
export const destinationBut = (
  broken: (state: DestinationState, event: DestinationEvent) => DestinationTurn | undefined,
): Partial<Rules> => ({
  destinationStep: (state, event) => broken(state, event) ?? destinationStep(state, event),
});
const without = (record: string): Partial<Rules> => ({ required: new Set([...required].filter((each) => each !== record)) });

export const resume: SourceTurn = {
  state: { at: 'resuming', failure },
  effects: [{ type: 'journal', step: 'resuming' }, { type: 'resume' }],
};
export const release: SourceTurn = { state: { at: 'releasing' }, effects: [{ type: 'journal', step: 'released' }, { type: 'release' }] };
export const discard: DestinationTurn = {
  state: { at: 'discarding', failure },
  effects: [{ type: 'journal', step: 'aborted' }, { type: 'discard' }],
};
const run: DestinationTurn = {
  state: { at: 'running', runState: 'running', sole: false },
  effects: [
    { type: 'journal', step: 'run', runState: 'running', required: true },
    { type: 'run', runState: 'running' },
  ],
};

/** What the destination would have after an event, whether that is enough to run or not. */
function after(state: DestinationState, event: DestinationEvent) {
  if (state.at !== 'receiving') return undefined;
  const grant = event.type === 'grant' || state.grant !== undefined;
  const delivered = event.type === 'delivered' || state.arrived !== undefined;
  const loaded = event.type === 'loaded' || state.loaded;
  const known = event.type === 'grant' || event.type === 'delivered' || event.type === 'loaded';
  return known ? { grant, delivered, loaded } : undefined;
}

/** The effects of a turn in another order, or others. */
const reordered = (turn: DestinationTurn, when: string, types: readonly string[]): DestinationTurn =>
  turn.effects.map(({ type }) => type).join() === when
    ? { ...turn, effects: types.flatMap((type) => turn.effects.find((each) => each.type === type) ?? extra(type)) }
    : turn;
const extra = (type: string): DestinationTurn['effects'] => (type === 'settle-in' || type === 'abort-channels' ? [{ type }] : []);

const careful = { administrator: 'careful' } as const;

export const mutations: readonly Mutation[] = [
  {
    rule: 'a time-out is no answer: the source in doubt stays paused',
    broken: 'the source resumes after a time-out',
    rules: sourceBut((state, event) => (state.at === 'in-doubt' && event.type === 'cancel' ? resume : undefined)),
  },
  {
    rule: 'a line that dies after the grant leaves the source in doubt',
    broken: 'the source resumes when the line dies after the grant',
    rules: sourceBut((state, event) => (state.at === 'granted' && event.type === 'failed' ? resume : undefined)),
  },
  {
    rule: 'a source that restarts after the grant is in doubt',
    broken: 'the source resumes after a restart',
    rules: { sourceRestart: (step, outcome) => (step === 'granted' ? resume : sourceRestart(step, outcome)) },
  },
  {
    rule: 'the grant needs QEMU to have completed',
    broken: "the source grants at its streams' end alone",
    rules: sourceBut((state, event) =>
      state.at === 'switching' && event.type === 'local-ended' ? sourceStep({ ...state, completed: true }, event) : undefined,
    ),
  },
  {
    rule: "the grant needs the streams' end",
    broken: 'the source grants on `completed` alone, with the totals of that moment',
    rules: sourceBut((state, event) =>
      state.at === 'switching' && event.type === 'completed'
        ? sourceStep({ ...state, sent: { totals: [{ records: 1, bytes: 10 }] } }, event)
        : undefined,
    ),
    options: { faults: false },
  },
  {
    rule: 'GRANT is in the journal before it is said',
    broken: 'the source says GRANT, then records it',
    rules: sourceBut((state, event) => {
      const turn = sourceStep(state, event);
      return turn.state.at === 'granted' && turn.effects.length === 2 ? { ...turn, effects: turn.effects.toReversed() } : undefined;
    }),
  },
  {
    rule: 'GRANT is not said where the journal does not take it',
    broken: 'the source says GRANT all the same',
    rules: without('granted'),
  },
  {
    rule: 'the source takes nothing back where the journal does not take it',
    broken: 'the source resumes all the same, and does not know of it after a restart',
    rules: without('resuming'),
    options: careful,
  },
  {
    rule: 'the source releases nothing where the journal does not take it',
    broken: 'the source releases all the same, and does not know of it after a restart',
    rules: without('released'),
    options: careful,
  },
  {
    rule: 'the destination runs only with a grant',
    broken: 'the destination runs what has arrived and is loaded',
    rules: destinationBut((state, event) => {
      const has = after(state, event);
      return has?.delivered && has.loaded ? run : undefined;
    }),
  },
  {
    rule: 'the destination runs only what has all arrived',
    broken: 'the destination runs what is granted and loaded',
    rules: destinationBut((state, event) => {
      const has = after(state, event);
      return has?.grant && has.loaded ? run : undefined;
    }),
    options: { strangeStreams: true },
  },
  {
    rule: 'the destination runs only what its QEMU has loaded',
    broken: 'the destination runs what is granted and has arrived',
    rules: destinationBut((state, event) => {
      const has = after(state, event);
      return has?.grant && has.delivered ? run : undefined;
    }),
  },
  {
    rule: 'the destination compares what arrived with what was granted',
    broken: 'the destination compares nothing',
    rules: destinationBut((state, event) => {
      const has = after(state, event);
      return has?.grant && has.delivered ? (has.loaded ? run : { state: blind(state, event), effects: [] }) : undefined;
    }),
    options: { strangeStreams: true },
  },
  {
    rule: 'RUN is in the journal before the VM runs',
    broken: 'the destination runs the VM, then records it',
    rules: destinationBut((state, event) => reordered(destinationStep(state, event), 'journal,run', ['run', 'journal'])),
  },
  {
    rule: 'the VM does not run where the journal does not take RUN',
    broken: 'the destination runs it all the same',
    rules: without('run!'),
  },
  {
    rule: 'after RUN nothing is discarded unless ABORTED is in the journal',
    broken: 'the destination discards although the journal has refused it',
    rules: without('aborted!'),
  },
  {
    rule: 'ABORTED is said only once QEMU is gone',
    broken: 'the destination says ABORTED, then kills its QEMU',
    rules: destinationBut((state, event) =>
      reordered(destinationStep(state, event), 'journal,discard', ['journal', 'abort-channels', 'discard']),
    ),
  },
  {
    rule: 'what may have run is not aborted',
    broken: 'the destination lets itself be cancelled while it runs the VM',
    rules: destinationBut((state, event) => (state.at === 'running' && event.type === 'cancel' ? discard : undefined)),
  },
  {
    rule: 'a destination that restarts after RUN discards nothing',
    broken: 'the destination discards after a restart',
    rules: { destinationRestart: (step, runState, outcome) => (step === 'run' ? discard : destinationRestart(step, runState, outcome)) },
  },
  {
    rule: 'RUNNING is said only when the VM runs',
    broken: 'the destination says RUNNING, then runs it',
    rules: destinationBut((state, event) => reordered(destinationStep(state, event), 'journal,run', ['journal', 'settle-in', 'run'])),
  },
  {
    rule: 'the source releases only on RUNNING',
    broken: 'the source releases when the session ends after the grant',
    rules: sourceBut((state, event) => (state.at === 'granted' && event.type === 'failed' ? release : undefined)),
  },
  {
    rule: 'a VM that ran and is gone is lost: no older copy takes its place',
    broken: 'the destination says ABORTED of a VM that it has lost',
    rules: { destinationVerdict: (state) => (state.at === 'ended' && state.outcome === 'lost' ? 'aborted' : destinationVerdict(state)) },
  },
  {
    rule: 'a statement counts only with the signature of the other host',
    broken: 'anyone says RUNNING and ABORTED',
    rules: { statementsAreChecked: false },
  },
  {
    rule: 'an attempt is accepted once',
    broken: 'the destination accepts it again',
    rules: { acceptedOnce: false },
    options: { repeatedOrders: true },
  },
  {
    rule: 'a destination that comes back after RUN asks before it runs the VM',
    broken: 'the destination runs it after a restart without asking',
    rules: {
      destinationRestart: (step, runState, outcome) =>
        step === 'run'
          ? { state: { at: 'running', runState: 'running', sole: true }, effects: [{ type: 'run', runState: 'running' }] }
          : destinationRestart(step, runState, outcome),
    },
    options: careful,
  },
  {
    rule: 'only what the source says after the destination is back clears it',
    broken: 'an older `granted` clears it too',
    rules: { onlyFreshClears: false },
    options: careful,
  },
  {
    rule: 'a source that has taken the VM back stands by no grant',
    broken: 'the source goes on saying `granted` after it was kept',
    rules: { sourceVerdict: (state) => (state.at === 'resuming' || state.at === 'ended' ? 'granted' : sourceVerdict(state)) },
    options: careful,
  },
  {
    rule: 'what may be the only copy is not given up because QEMU would not run it',
    broken: 'the destination discards it, whoever chose it',
    rules: destinationBut((state, event) =>
      state.at === 'running' && event.type === 'would-not-run' ? destinationStep({ ...state, sole: false }, event) : undefined,
    ),
    options: careful,
  },
  {
    rule: 'a superseded copy is removed, also where it was lost',
    broken: 'a destination that has ended hears of no decision',
    rules: destinationBut((state, event) => (state.at === 'ended' && event.type === 'drop' ? { state, effects: [] } : undefined)),
    options: careful,
  },
  {
    rule: 'who is in doubt asks until it is answered',
    broken: 'nobody asks',
    rules: { doubtAsks: false },
  },
  {
    rule: 'loading has a deadline',
    broken: 'the destination waits for its QEMU for ever',
    rules: destinationBut((state, event) =>
      state.at === 'receiving' && state.grant && event.type === 'cancel' ? { state, effects: [] } : undefined,
    ),
  },
];

/** With the grant and the end of every stream, whatever they say. */
function blind(state: DestinationState, event: DestinationEvent): DestinationState {
  if (state.at !== 'receiving') return state;
  return {
    ...state,
    ...(event.type === 'grant' && { grant: event.grant }),
    ...(event.type === 'delivered' && { arrived: event }),
  };
}
