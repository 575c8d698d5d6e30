/** An administrator's decision at one side: which are possible, and waiting until it is in the journal. */
import { type Keep, SealiftError, type Verdict } from '@sealift/contract';
import type { DestinationState } from '../handover/destination.ts';
import type { SourceState } from '../handover/source.ts';

/** Whoever orders it is answered once it is done, or the journal has refused it. */
export class Resolution {
  #waiting: PromiseWithResolvers<void> | undefined;

  /** @param act makes the machine decide @throws JournalError */
  wait(act: () => void): Promise<void> {
    this.#waiting ??= Promise.withResolvers<void>();
    const { promise } = this.#waiting; // the journal may have it before `act` returns
    act();
    return promise;
  }

  done(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  failed(error: unknown): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

/** What a source says of an attempt when it is asked; nothing while it may still go either way here. */
export function sourceVerdict(state: SourceState): Verdict | undefined {
  switch (state.at) {
    case 'granted':
    case 'in-doubt':
    case 'feeding':
    case 'releasing':
      return 'granted';
    case 'abandoning':
    case 'resuming':
      return 'aborted';
    case 'ended':
      return state.outcome === 'released' ? 'granted' : 'aborted';
    default:
      return undefined;
  }
}

/** What a destination says. Where the VM was lost after RUN it was the destination's: no older copy may take its place. */
export function destinationVerdict(state: DestinationState): Verdict | undefined {
  if (state.at !== 'ended') return undefined;
  return state.outcome === 'discarded' ? 'aborted' : 'running';
}

/** Has the source done already what is decided, or is there nothing left to decide about? */
export const sourceHasDecided = (state: SourceState, keep: Keep): boolean =>
  state.at === 'ended'
    ? state.outcome === 'lost' || (state.outcome === 'kept') === (keep === 'source')
    : keep === 'source'
      ? state.at === 'abandoning' || state.at === 'resuming'
      : state.at === 'feeding' || state.at === 'releasing';

/** As {@link sourceHasDecided}, for the destination. What is left of a VM that was lost here is given up as well: nobody may start it. */
export const destinationHasDecided = (state: DestinationState, keep: Keep): boolean =>
  state.at === 'ended'
    ? (state.outcome === 'discarded') === (keep === 'source')
    : keep === 'source'
      ? state.at === 'discarding'
      : state.at === 'running' || state.at === 'arriving' || state.at === 'losing';

/** Why a decision makes no sense at this side now, and what does. */
export function undecidable(vm: string, at: (SourceState | DestinationState)['at'], keep: Keep, peer: string): SealiftError {
  const words: Readonly<Record<typeof at, string>> = {
    opening: `${vm} runs here and has not been handed over: ${peer} cannot have it. Cancel the migration instead`,
    copying: `${vm} runs here and has not been handed over: ${peer} cannot have it. Cancel the migration instead`,
    switching: `${vm} is this host's and has not been handed over: ${peer} cannot have it. Cancel the migration instead`,
    granted: `${vm} is being handed over to ${peer} right now, and paused here; it settles by itself or is in doubt within seconds. Try again then`,
    'in-doubt': `${vm} ran at ${peer} by post-copy, or may have: the copy here is a stale one, which nobody may run. Decide for the destination`,
    releasing: `${peer} runs ${vm}, or was decided to; what was left of it here is being removed`,
    feeding: `${peer} runs ${vm}, and still draws memory of it from here: this host's copy is stale and can never run again`,
    arriving: `${vm} runs here, and still draws memory from ${peer}: the copy there is stale and can never run again, so it cannot be kept`,
    losing: `${vm} ran here and has lost what was still missing of its memory; the copy at ${peer} is stale`,
    abandoning: `${vm} was never handed over and is being let run again here`,
    resuming: `${vm} is being let run again here: ${peer} has given it back`,
    receiving: `${vm} was not handed over to this host: it cannot run here. Decide for the source`,
    running: `${vm} was handed over to this host and is being let run right now. Try again in a moment`,
    returning: `${vm} is in doubt`,
    discarding: `the copy of ${vm} here is being removed; it can never run here`,
    ended: `the migration of ${vm} has ended here already, and not in favour of the ${keep}; see where it runs: sealift vm show ${vm}`,
  };
  return new SealiftError('wrong_state', words[at], { details: { state: at } });
}
