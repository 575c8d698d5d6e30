/**
 * The source's half of the handover. Pure: events in, state and effects out, so that every order of events can be tried.
 *
 *                confirmed        pre-switchover        completed + local ends
 *     opening ──────────────► copying ──────► switching ──────────────────────► granted ──running──► releasing ──gone──► ended: released
 *        │                      │                │                               │    ▲ running, drop
 *        └──── cancel, failure, peer's ABORTED ──┘                     link dies │    │
 *                       ▼                                                        ▼    │
 *                   abandoning ──resumed──► ended: kept ◄──resumed── resuming ◄─aborted, keep─ in-doubt
 *
 * The VM runs again here only out of `abandoning` (it was never granted) and `resuming` (the destination said, authenticated, that it
 * aborted, or an administrator decided). Nothing else leads to either. `released` needs the destination's RUNNING, or an administrator.
 *
 * By post-copy the grant comes as soon as QEMU can send pages that are asked for, and RUNNING before they have all been:
 *
 *     switching ──post-copy──► granted ──running──► feeding ──completed + local ends──► releasing
 *                                                      └── link dies ──► in-doubt
 */
import type { ChannelTotal } from '@sealift/transport';
import { type Fed, isFed, nothingFed } from './postcopy.ts';
import type { Failure, SourceOutcome, SourceStep } from './records.ts';

/** What went, as it is granted. */
export interface Sent {
  readonly totals: readonly ChannelTotal[];
  /** Of each disk that is copied: the writes that were sent. Missing: no disk is. */
  readonly diskWrites?: readonly number[];
}

export type SourceState =
  | { readonly at: 'opening' | 'copying' }
  | { readonly at: 'switching'; readonly completed: boolean; readonly sent: Sent | undefined }
  /** `fed`: by post-copy. */
  | { readonly at: 'granted'; readonly fed?: Fed }
  /** By post-copy: the VM runs at the destination, and draws the rest of its memory from here. */
  | { readonly at: 'feeding'; readonly fed: Fed }
  /** `ran`: it ran at the destination by post-copy, or may have, so that the copy here is a stale one whatever anybody decides. */
  | { readonly at: 'in-doubt'; readonly failure: Failure; readonly ran?: true }
  /** `ran`: as in doubt. */
  | { readonly at: 'releasing'; readonly ran?: true }
  | { readonly at: 'abandoning'; readonly failure: Failure }
  | { readonly at: 'resuming'; readonly failure: Failure }
  | { readonly at: 'ended'; readonly outcome: SourceOutcome; readonly failure: Failure | undefined };

export type SourceEvent =
  /** Every channel is confirmed, and every disk that is copied is mirrored. */
  | { readonly type: 'confirmed' }
  /** QEMU has stopped the VM and waits to be told to go on; every mirror has sent all it had, and ended without an error. */
  | { readonly type: 'pre-switchover' }
  /** QEMU's migration is `completed`. */
  | { readonly type: 'completed' }
  /** QEMU's migration is `postcopy-active`: all but memory is sent, and pages are as they are asked for. */
  | { readonly type: 'postcopy-active' }
  /** Every local stream has ended and its CLOSE is queued; the totals are final. */
  | ({ readonly type: 'local-ended' } & Sent)
  /** A person wants to stop it, or its deadline has passed: both are too late after the grant. */
  | { readonly type: 'cancel'; readonly failure: Failure }
  /** QEMU's migration failed, or a channel did. */
  | { readonly type: 'failed'; readonly failure: Failure }
  /** The VM's QEMU is gone. */
  | { readonly type: 'vm-gone' }
  /** The destination runs the VM. Authenticated. */
  | { readonly type: 'running' }
  /** The destination has aborted, its QEMU is gone, and it will never run this attempt. Authenticated. */
  | { readonly type: 'aborted' }
  /** An administrator decided that this host's copy is the VM. Counts in doubt only. */
  | { readonly type: 'keep' }
  /** An administrator decided that the destination's copy is the VM. Counts in doubt only. */
  | { readonly type: 'drop' }
  /** The journal did not take the last record, so nothing of what had to follow it was done. */
  | { readonly type: 'journal-failed'; readonly failure: Failure }
  /** The VM is as it was before the attempt. */
  | { readonly type: 'resumed' }
  /** Nothing of the VM is left here. */
  | { readonly type: 'released' };

export type SourceEffect =
  /**
   * Must be on disk before the effects that follow it begin: where it is not, they are left out and `journal-failed` follows. `abandoned` and
   * `ended` are the exceptions: the record before them leads to the same.
   */
  | {
      readonly type: 'journal';
      readonly step: SourceStep;
      readonly outcome?: SourceOutcome;
      readonly resolved?: true;
      readonly postcopy?: true;
    }
  | { readonly type: 'migrate' }
  | { readonly type: 'continue' }
  | ({ readonly type: 'grant' } & Sent)
  | { readonly type: 'grant-postcopy' }
  /** Tell the destination ABORTED, as far as it can be told. The channels stay: QEMU's sockets must not break under its migration. */
  | { readonly type: 'say-aborted' }
  | { readonly type: 'drop-channels' }
  /** Make the VM as it was: cancel QEMU's migration, let it run again if it ran. Then `resumed`. */
  | { readonly type: 'resume' }
  /** Quit QEMU and remove what belongs to it. Then `released`. */
  | { readonly type: 'release' }
  | { readonly type: 'close-channels' }
  /** Mark the VM as in doubt: paused, nobody may start it. Ask the destination, for as long as it takes, what became of it. */
  | { readonly type: 'hold' };

export interface SourceTurn {
  readonly state: SourceState;
  readonly effects: readonly SourceEffect[];
}

export const sourceStart: SourceState = { at: 'opening' };

/**
 * Where the source is after a restart, by the last record of the attempt.
 *
 * @param postcopy the grant was by post-copy: the VM may have run at the destination since
 * @returns the state and what is to be done first
 */
export function sourceRestart(step: SourceStep, outcome: SourceOutcome | undefined, postcopy?: true): SourceTurn {
  const failure: Failure = { code: 'internal', message: "the source's agent was restarted during the migration" };
  switch (step) {
    case 'accepted':
      return abandon(failure);
    case 'abandoned':
      return { state: { at: 'abandoning', failure }, effects: [{ type: 'resume' }] };
    case 'granted':
      return postcopy ? doubtOfRun(failure) : doubt(failure);
    case 'resuming':
      return { state: { at: 'resuming', failure }, effects: [{ type: 'resume' }] };
    case 'released':
      return { state: { at: 'releasing' }, effects: [{ type: 'release' }] };
    case 'ended':
      return { state: { at: 'ended', outcome: outcome ?? 'kept', failure: undefined }, effects: [] };
  }
}

/** One event. Events that mean nothing in a state (a repeat, a race lost) change nothing. */
export function sourceStep(state: SourceState, event: SourceEvent): SourceTurn {
  switch (state.at) {
    case 'opening':
    case 'copying':
    case 'switching':
      return beforeGrant(state, event);
    case 'granted':
    case 'in-doubt':
      return afterGrant(state, event);
    case 'feeding':
      return feeding(state, event);
    case 'releasing':
      if (event.type === 'released') return ended('released', undefined, [{ type: 'close-channels' }]);
      // Nothing was released. It is asked for again until the journal takes it.
      if (event.type === 'journal-failed') return state.ran ? doubtOfRun(event.failure) : doubt(event.failure);
      return stay(state);
    case 'abandoning':
    case 'resuming':
      if (event.type === 'resumed') return ended('kept', state.failure);
      if (event.type === 'vm-gone') return ended('lost', gone);
      if (event.type === 'journal-failed' && state.at === 'resuming') return doubt(event.failure);
      return stay(state);
    case 'ended':
      return stay(state);
  }
}

function beforeGrant(state: Extract<SourceState, { at: 'opening' | 'copying' | 'switching' }>, event: SourceEvent): SourceTurn {
  switch (event.type) {
    case 'confirmed':
      return state.at === 'opening' ? { state: { at: 'copying' }, effects: [{ type: 'migrate' }] } : stay(state);
    case 'pre-switchover':
      return state.at === 'copying'
        ? { state: { at: 'switching', completed: false, sent: undefined }, effects: [{ type: 'continue' }] }
        : stay(state);
    case 'completed':
      return state.at === 'switching' ? maybeGrant({ ...state, completed: true }) : stay(state);
    case 'postcopy-active':
      if (state.at !== 'switching' || state.completed) return stay(state);
      return {
        state: { at: 'granted', fed: { ...nothingFed, ended: state.sent !== undefined } },
        effects: [{ type: 'journal', step: 'granted', postcopy: true }, { type: 'grant-postcopy' }],
      };
    case 'local-ended':
      // Local streams also end when QEMU cancels or fails: they mean something only together with `completed`.
      return state.at === 'switching' ? maybeGrant({ ...state, sent: event }) : stay(state);
    case 'cancel':
    case 'failed':
      return abandon(event.failure);
    case 'aborted':
      return abandon({ code: 'peer', message: 'the destination aborted' });
    case 'vm-gone':
      // Completed, QEMU had handed everything to the channels: their ends are still to come, and the destination may have all of it.
      if (state.at === 'switching' && state.completed) return stay(state);
      return ended('lost', gone, [{ type: 'say-aborted' }, { type: 'drop-channels' }]);
    default:
      return stay(state);
  }
}

function maybeGrant(state: Extract<SourceState, { at: 'switching' }>): SourceTurn {
  if (!state.completed || !state.sent) return { state, effects: [] };
  return {
    state: { at: 'granted' },
    effects: [
      { type: 'journal', step: 'granted' },
      { ...state.sent, type: 'grant' },
    ],
  };
}

function afterGrant(state: Extract<SourceState, { at: 'granted' | 'in-doubt' }>, event: SourceEvent): SourceTurn {
  switch (event.type) {
    case 'running':
      if (state.at === 'granted' && state.fed) return maybeFed(state.fed);
      return state.at === 'in-doubt' && state.ran ? releaseRan : release;
    case 'completed':
    case 'local-ended':
      return state.at === 'granted' && state.fed ? { state: { ...state, fed: withFed(state.fed, event) }, effects: [] } : stay(state);
    case 'aborted': {
      const failure: Failure = { code: 'peer', message: 'the destination could not run the VM and aborted' };
      return {
        state: { at: 'resuming', failure },
        effects: [{ type: 'journal', step: 'resuming' }, { type: 'resume' }],
      };
    }
    case 'keep':
      if (state.at !== 'in-doubt' || state.ran) return stay(state);
      return {
        state: { at: 'resuming', failure: { code: 'resolved', message: "an administrator kept the source's copy" } },
        effects: [{ type: 'journal', step: 'resuming', resolved: true }, { type: 'resume' }],
      };
    case 'drop':
      if (state.at !== 'in-doubt') return stay(state);
      return { state: { at: 'releasing' }, effects: [{ type: 'journal', step: 'released', resolved: true }, { type: 'release' }] };
    case 'failed':
      if (state.at !== 'granted') return stay(state);
      return state.fed ? doubtOfRun(event.failure) : doubt(event.failure);
    case 'journal-failed':
      // GRANT was not said, so the VM is still this host's. The last record says `accepted`, which after a restart means just this.
      return state.at === 'granted'
        ? { state: { at: 'abandoning', failure: event.failure }, effects: [{ type: 'say-aborted' }, { type: 'resume' }] }
        : stay(state);
    default:
      // Cancelling comes too late, and a QEMU that goes now is only the copy that was given away.
      return stay(state);
  }
}

function feeding(state: Extract<SourceState, { at: 'feeding' }>, event: SourceEvent): SourceTurn {
  switch (event.type) {
    case 'completed':
    case 'local-ended':
      return maybeFed(withFed(state.fed, event));
    case 'failed':
      return unfed(state.fed, event.failure);
    case 'vm-gone':
      return unfed(state.fed, {
        code: 'hypervisor',
        message: "the VM's QEMU ended at the source while the VM, which runs at the destination, still drew memory from it",
      });
    default:
      return stay(state);
  }
}

const withFed = (fed: Fed, { type }: Extract<SourceEvent, { type: 'completed' | 'local-ended' }>): Fed =>
  type === 'completed' ? { ...fed, completed: true } : { ...fed, ended: true };

const maybeFed = (fed: Fed): SourceTurn => (isFed(fed) ? releaseRan : { state: { at: 'feeding', fed }, effects: [] });

/** Nothing more can be sent. Whether the destination has everything is for it to say: until then nothing is let go here. */
const unfed = ({ completed }: Fed, failure: Failure): SourceTurn => (completed ? releaseRan : doubtOfRun(failure));

const release: SourceTurn = { state: { at: 'releasing' }, effects: [{ type: 'journal', step: 'released' }, { type: 'release' }] };

const releaseRan: SourceTurn = { ...release, state: { at: 'releasing', ran: true } };

const gone: Failure = { code: 'hypervisor', message: "the VM's QEMU ended at the source during the migration: its memory is lost" };

const stay = (state: SourceState): SourceTurn => ({ state, effects: [] });

const doubt = (failure: Failure): SourceTurn => ({ state: { at: 'in-doubt', failure }, effects: [{ type: 'hold' }] });

const doubtOfRun = (failure: Failure): SourceTurn => ({ state: { at: 'in-doubt', failure, ran: true }, effects: [{ type: 'hold' }] });

const abandon = (failure: Failure): SourceTurn => ({
  state: { at: 'abandoning', failure },
  effects: [{ type: 'journal', step: 'abandoned' }, { type: 'say-aborted' }, { type: 'resume' }],
});

const ended = (outcome: SourceOutcome, failure: Failure | undefined, effects: readonly SourceEffect[] = []): SourceTurn => ({
  state: { at: 'ended', outcome, failure },
  effects: [...effects, { type: 'journal', step: 'ended', outcome }],
});
