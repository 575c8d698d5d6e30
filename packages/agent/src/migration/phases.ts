/** What the states of both machines are called towards people. */
import type { MigrationPhase } from '@sealift/contract';
import type { DestinationState } from '../handover/destination.ts';
import type { Failure } from '../handover/records.ts';
import type { SourceState } from '../handover/source.ts';

/** How an attempt that did not go through is called. */
const phaseOfFailure = (failure: Failure | undefined): MigrationPhase => (failure?.code === 'cancelled' ? 'cancelled' : 'failed');

/** @returns undefined for a state that only leads to an end, which is told when it is reached */
export function sourcePhase(state: SourceState): MigrationPhase | undefined {
  switch (state.at) {
    case 'opening':
      return 'connecting';
    case 'copying':
      return 'copying';
    case 'switching':
      return 'switching-over';
    case 'granted':
    case 'in-doubt':
    case 'releasing':
      return state.at;
    case 'feeding':
      return 'releasing'; // the VM runs at the destination; what it still draws from here is let go page by page
    case 'abandoning':
    case 'resuming':
      return undefined; // on its way to an end that is told when it is reached
    case 'ended':
      if (state.outcome === 'released') return 'completed';
      return state.outcome === 'lost' ? 'lost' : phaseOfFailure(state.failure);
  }
}

/** As {@link sourcePhase}; before the grant the phase is that of the channels, which the machine does not know. */
export function destinationPhase(state: DestinationState): MigrationPhase | undefined {
  switch (state.at) {
    case 'receiving':
      return state.grant ? 'granted' : undefined;
    case 'running':
      return 'granted';
    case 'arriving':
      return 'releasing';
    case 'losing':
      return undefined;
    case 'returning':
      return 'in-doubt';
    case 'discarding':
      return undefined; // on its way to an end that is told when it is reached
    case 'ended':
      if (state.outcome === 'arrived') return 'completed';
      return state.outcome === 'lost' ? 'lost' : phaseOfFailure(state.failure);
  }
}
