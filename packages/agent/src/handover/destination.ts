/**
 * The destination's half of the handover. Pure, as source.ts is.
 *
 *                 grant + every CLOSE as granted + loaded
 *     receiving ──────────────────────────────────────────► running ──runs──► ended: arrived
 *         │                                               cleared ▲    │ would not run, still paused
 *         │                         restart after RUN ──► returning ───┤ superseded
 *         └── cancel, failure, ABORTED, load deadline ──► discarding ◄─┘ ──gone──► ended: discarded
 *
 * The VM runs here only out of `running`, which only a grant leads to, and which `discarding` can never reach: ABORTED is in the journal
 * before anything is discarded, and RUN before anything runs. An agent that was away between RUN and `cont` asks first: an administrator may
 * have kept the source's copy meanwhile, and this one is then superseded.
 *
 * By post-copy the VM runs before all of its memory is here:
 *
 *     receiving ──grant by post-copy + QEMU draws pages──► running ──runs──► arriving ──every page is here──► ended: arrived
 *                                                                               └── none will come ──► losing ──gone──► ended: lost
 *
 * Nobody has it whole meanwhile, so no decision gives it to the source then.
 */
import type { ChannelTotal, Grant } from '@sealift/transport';
import { becameOf, isHappening, memoryLost, nothingOfRest, type Rest, withHappening } from './postcopy.ts';
import type { DestinationOutcome, DestinationStep, Failure, RunState } from './records.ts';

/** What came, to be compared with what was granted. */
export interface Arrived {
  readonly totals: readonly ChannelTotal[];
  /** Of each disk that is copied: writes that were done. Missing: no disk is. */
  readonly diskWrites?: readonly number[];
}

export type DestinationState =
  | {
      readonly at: 'receiving';
      readonly grant: Grant | undefined;
      readonly arrived: Arrived | undefined;
      readonly loaded: boolean;
      /** By post-copy: QEMU has all but memory, and can draw that while the VM runs. */
      readonly drawing?: true;
    }
  /** `sole`: the source may have released the VM by now, so this copy is never given up because QEMU would not run it. */
  | { readonly at: 'running'; readonly runState: RunState; readonly sole: boolean; readonly rest?: Rest }
  /** By post-copy: it runs here, and draws what is missing of its memory from the source. */
  | { readonly at: 'arriving'; readonly rest: Rest }
  /** By post-copy: it ran here, and what is missing of its memory will not come. */
  | { readonly at: 'losing'; readonly failure: Failure }
  /** After a restart: RUN is in the journal, and whether the VM ran, or still may, is to be found out. */
  | { readonly at: 'returning'; readonly runState: RunState; readonly failure: Failure; readonly postcopy?: true }
  /** `instead`: where it goes on from when the journal does not take ABORTED; without it, the record before leads here too. */
  | { readonly at: 'discarding'; readonly failure: Failure; readonly instead?: DestinationState }
  | { readonly at: 'ended'; readonly outcome: DestinationOutcome; readonly failure: Failure | undefined };

export type DestinationEvent =
  /** The source's GRANT. Authenticated. */
  | { readonly type: 'grant'; readonly grant: Grant }
  /** Every CLOSE has come, every byte before it is with QEMU, and every write to a disk that is copied is done. */
  | ({ readonly type: 'delivered' } & Arrived)
  /** query-migrate says `completed` and query-status says `paused`. */
  | { readonly type: 'loaded' }
  /** query-migrate says `postcopy-active` and query-status says `paused`. */
  | { readonly type: 'drawing' }
  /** A person wants to stop it, or a deadline has passed. */
  | { readonly type: 'cancel'; readonly failure: Failure }
  | { readonly type: 'failed'; readonly failure: Failure }
  /** The source has given up. Authenticated. */
  | { readonly type: 'aborted' }
  /** QEMU is gone by itself. Not told while a VM is being run: the effect `run` says then what became of it. */
  | { readonly type: 'vm-gone' }
  /** The vCPUs run, or stay paused as the VM was. */
  | { readonly type: 'runs' }
  /** QEMU refused to run the VM and is still `paused`, or was gone before it was told to. */
  | { readonly type: 'would-not-run'; readonly failure: Failure }
  /** Found out of a VM that came by post-copy: it has run, and the pages that are missing can no longer come. */
  | { readonly type: 'starved'; readonly failure: Failure }
  /** The source said, authenticated and after this agent was back, that it still stands by its grant. */
  | { readonly type: 'cleared' }
  /** An administrator decided that this host's copy is the VM. Counts only where there is a grant. */
  | { readonly type: 'keep' }
  /** An administrator decided that the source's copy is the VM: this one is superseded, whatever it has done. */
  | { readonly type: 'drop' }
  /** The journal did not take RUN, so the VM was not run; or it did not take an ABORTED that follows RUN, so nothing was discarded. */
  | { readonly type: 'journal-failed'; readonly failure: Failure }
  /** QEMU has been seen gone, and nothing else is left. */
  | { readonly type: 'discarded' };

export type DestinationEffect =
  /**
   * Must be on disk before the effects that follow it begin, if it is `required`: where it is not, they are left out and `journal-failed`
   * follows. The record before the others leads to the same.
   */
  | {
      readonly type: 'journal';
      readonly step: DestinationStep;
      readonly required?: true;
      readonly runState?: RunState;
      readonly outcome?: DestinationOutcome;
      readonly resolved?: true;
      readonly postcopy?: true;
    }
  /**
   * Has the VM run already? Then `runs`, or `vm-gone`. Else hold it and ask the source, for as long as it takes: `cleared` or `aborted`. By post-copy,
   * first whether pages are missing: `starved` if it has run, `would-not-run` if not; `loaded` where none is.
   */
  | { readonly type: 'find-out'; readonly runState: RunState; readonly postcopy?: true }
  /** Ends what wrote to its disks, then `cont`, unless the VM was paused. Then `runs`, `would-not-run`, or, where QEMU may have run it and is gone, `vm-gone`. */
  | { readonly type: 'run'; readonly runState: RunState }
  /** Tell the source RUNNING, make the VM an ordinary one of this host, announce it, let the channels close. */
  | { readonly type: 'settle-in' }
  /** Tell the source RUNNING, and the network where the VM is. */
  | { readonly type: 'say-running' }
  /** Where QEMU has every page after all: `loaded`. Else kill it and see it gone; the VM stays this host's, off. Then `discarded`. */
  | { readonly type: 'end-vm' }
  /** Kill QEMU, see it gone, remove everything. Then `discarded`. */
  | { readonly type: 'discard' }
  /** Tell the source ABORTED, as far as it can be told, and close the channels. Only once QEMU is gone. */
  | { readonly type: 'abort-channels' };

export interface DestinationTurn {
  readonly state: DestinationState;
  readonly effects: readonly DestinationEffect[];
}

export const destinationStart: DestinationState = { at: 'receiving', grant: undefined, arrived: undefined, loaded: false };

/** Where the destination is after a restart, by the last record of the attempt. */
export function destinationRestart(
  step: DestinationStep,
  runState: RunState | undefined,
  outcome: DestinationOutcome | undefined,
  postcopy?: true,
): DestinationTurn {
  const failure: Failure = { code: 'internal', message: "the destination's agent was restarted during the migration" };
  switch (step) {
    case 'prepared':
      return discard(failure);
    case 'aborted':
      return { state: { at: 'discarding', failure }, effects: [{ type: 'discard' }] };
    case 'run': {
      const before = runState ?? 'running';
      return takeUp({ at: 'returning', runState: before, failure, ...(postcopy && { postcopy }) });
    }
    case 'ended':
      return { state: { at: 'ended', outcome: outcome ?? 'discarded', failure: undefined }, effects: [] };
  }
}

export function destinationStep(state: DestinationState, event: DestinationEvent): DestinationTurn {
  switch (state.at) {
    case 'receiving':
      return receiving(state, event);
    case 'running':
      if (event.type === 'runs') return state.rest ? arriving(state.rest) : ended('arrived', undefined, [{ type: 'settle-in' }]);
      if (state.rest && isHappening(event)) return { state: { ...state, rest: withHappening(state.rest, event) }, effects: [] };
      if (event.type === 'would-not-run') return wouldNotRun(state, event.failure);
      if (event.type === 'vm-gone') return vmGone();
      if (event.type === 'keep') return state.sole ? stay(state) : { state: { ...state, sole: true }, effects: [] };
      if (event.type === 'drop') return supersede(again(state, superseded));
      // The last record says `prepared`, which after a restart means just this.
      if (event.type === 'journal-failed') return { state: { at: 'discarding', failure: event.failure }, effects: [{ type: 'discard' }] };
      return stay(state);
    case 'arriving':
      if (event.type === 'vm-gone') return vmGone();
      return isHappening(event) ? arriving(withHappening(state.rest, event), state) : stay(state);
    case 'losing':
      // It had every page after all: that it failed was heard first.
      if (event.type === 'loaded') return ended('arrived', undefined, [{ type: 'settle-in' }]);
      return event.type === 'discarded' || event.type === 'vm-gone' ? ended('lost', state.failure) : stay(state);
    case 'returning':
      return returning(state, event);
    case 'discarding':
      if (event.type === 'discarded') return ended('discarded', state.failure, [{ type: 'abort-channels' }]);
      if (event.type === 'journal-failed' && state.instead) return takeUp(state.instead);
      return stay(state);
    case 'ended':
      return event.type === 'drop' && state.outcome !== 'discarded' ? supersede(state) : stay(state);
  }
}

function receiving(state: Extract<DestinationState, { at: 'receiving' }>, event: DestinationEvent): DestinationTurn {
  switch (event.type) {
    case 'grant':
      // A repeat says the same; the first one counts.
      return maybeRun({ ...state, grant: state.grant ?? event.grant });
    case 'delivered':
      return maybeRun({ ...state, arrived: event });
    case 'loaded':
      return maybeRun({ ...state, loaded: true });
    case 'drawing':
      return maybeRun({ ...state, drawing: true });
    case 'failed':
      // With the grant and every byte of it here, a channel that dies takes nothing away any more; a QEMU that cannot load it does.
      return state.grant && state.arrived && event.failure.code !== 'hypervisor' ? stay(state) : discard(event.failure);
    case 'drop':
      return supersede();
    case 'cancel':
      return discard(event.failure);
    case 'aborted':
      return discard({ code: 'peer', message: 'the source aborted' });
    case 'vm-gone':
      return discard({ code: 'hypervisor', message: "the VM's QEMU ended at the destination during the migration; see its log" });
    default:
      return stay(state);
  }
}

function returning(state: Extract<DestinationState, { at: 'returning' }>, event: DestinationEvent): DestinationTurn {
  const { runState, failure } = state;
  switch (event.type) {
    case 'aborted':
    case 'drop':
      return supersede(state);
    case 'vm-gone':
      return vmGone();
  }
  // Whether pages are missing comes first: with every one of them here, it is as any other.
  if (state.postcopy) {
    if (event.type === 'loaded') return takeUp({ at: 'returning', runState, failure });
    if (event.type === 'starved') return lose(memoryLost(event.failure));
    return event.type === 'would-not-run' ? giveBack(event.failure, state) : stay(state);
  }
  switch (event.type) {
    case 'runs':
      return ended('arrived', undefined, [{ type: 'settle-in' }]);
    case 'cleared':
    case 'keep':
      return { state: { at: 'running', runState, sole: true }, effects: [{ type: 'run', runState }] };
    default:
      return stay(state);
  }
}

function maybeRun(state: Extract<DestinationState, { at: 'receiving' }>): DestinationTurn {
  const { grant, arrived, drawing, loaded } = state;
  if (grant?.postcopy && drawing) {
    // Its totals are not known to anybody yet: each CLOSE is compared with what came when it comes.
    const { runState } = grant;
    return {
      state: { at: 'running', runState, sole: false, rest: { ...nothingOfRest, loaded, delivered: arrived !== undefined } },
      effects: [
        { type: 'journal', step: 'run', runState, postcopy: true, required: true },
        { type: 'run', runState },
      ],
    };
  }
  if (!grant || grant.postcopy || !arrived) return { state, effects: [] };
  if (!isWhole(grant, arrived)) {
    return discard({ code: 'totals', message: 'what arrived is not what the source granted' });
  }
  if (!state.loaded) return { state, effects: [] };
  const { runState } = grant;
  return {
    state: { at: 'running', runState, sole: false },
    effects: [
      { type: 'journal', step: 'run', runState, required: true },
      { type: 'run', runState },
    ],
  };
}

const isWhole = (grant: Grant, { totals, diskWrites = [] }: Arrived): boolean =>
  grant.totals.length === totals.length &&
  grant.totals.every((total, i) => total.bytes === totals[i]?.bytes && total.records === totals[i]?.records) &&
  grant.diskWrites.length === diskWrites.length &&
  grant.diskWrites.every((writes, i) => writes === diskWrites[i]);

const lost: Failure = { code: 'hypervisor', message: "the VM's QEMU ended at the destination after the handover: its memory is lost" };

const stay = (state: DestinationState): DestinationTurn => ({ state, effects: [] });

const discard = (failure: Failure): DestinationTurn => ({
  state: { at: 'discarding', failure },
  effects: [{ type: 'journal', step: 'aborted' }, { type: 'discard' }],
});

/** By post-copy: it runs. @param before where the source has been told so */
function arriving(rest: Rest, before?: DestinationState): DestinationTurn {
  const became = becameOf(rest);
  if (became === 'here') return ended('arrived', undefined, [{ type: 'settle-in' }]);
  if (became === 'coming') return { state: { at: 'arriving', rest }, effects: before ? [] : [{ type: 'say-running' }] };
  return lose(became.lost);
}

/** What can be had of it, its definition and its disks, is this host's. */
const vmGone = (): DestinationTurn => ended('lost', lost, [{ type: 'end-vm' }]);

/** The source is not given back what has run here. It asks, and hears that the VM was this host's. */
const lose = (failure: Failure): DestinationTurn => ({ state: { at: 'losing', failure }, effects: [{ type: 'end-vm' }] });

/** Back to asking: it is not known here whose the VM is, or QEMU is to be tried again. */
const again = ({ runState, rest }: Extract<DestinationState, { at: 'running' }>, failure: Failure): DestinationState => ({
  at: 'returning',
  runState,
  failure,
  ...(rest && { postcopy: true }),
});

const takeUp = (state: DestinationState): DestinationTurn => ({
  state,
  effects:
    state.at === 'returning' ? [{ type: 'find-out', runState: state.runState, ...(state.postcopy && { postcopy: state.postcopy }) }] : [],
});

/** Given back to the source where that can still take it. RUN stands in the journal: unless ABORTED does too, nothing is given back. */
const wouldNotRun = (state: Extract<DestinationState, { at: 'running' }>, failure: Failure): DestinationTurn =>
  state.sole ? takeUp(again(state, failure)) : giveBack(failure, again(state, failure));

const giveBack = (failure: Failure, instead: DestinationState): DestinationTurn => ({
  state: { at: 'discarding', failure, instead },
  effects: [{ type: 'journal', step: 'aborted', required: true }, { type: 'discard' }],
});

const superseded: Failure = {
  code: 'resolved',
  message: "an administrator kept the source's copy: this one is superseded and was removed",
};

const supersede = (instead?: DestinationState): DestinationTurn => ({
  state: { at: 'discarding', failure: superseded, ...(instead && { instead }) },
  effects: [{ type: 'journal', step: 'aborted', resolved: true, ...(instead && { required: true }) }, { type: 'discard' }],
});

const ended = (outcome: DestinationOutcome, failure: Failure | undefined, effects: readonly DestinationEffect[] = []): DestinationTurn => ({
  state: { at: 'ended', outcome, failure },
  effects: [...effects, { type: 'journal', step: 'ended', outcome }],
});
