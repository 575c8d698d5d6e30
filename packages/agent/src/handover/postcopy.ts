/**
 * What is still on its way when the VM runs at the destination already: post-copy. Pure, as the two machines are, which carry it in their states.
 * From the moment the VM runs until its last page has come it is on both hosts: the source keeps its QEMU for what is still asked of it,
 * and can never run the VM again.
 */
import type { Failure } from './records.ts';

/** At the destination, from the grant on. */
export interface Rest {
  /** QEMU's migration is `completed`: every page is here. */
  readonly loaded: boolean;
  /** Every CLOSE has come: the source has let go of its side. */
  readonly delivered: boolean;
  /** A channel has failed, or QEMU waits for pages that do not come. */
  readonly failure: Failure | undefined;
}

export const nothingOfRest: Rest = { loaded: false, delivered: false, failure: undefined };

type Happening = { readonly type: 'loaded' | 'delivered' } | { readonly type: 'failed'; readonly failure: Failure };

export const isHappening = (event: { readonly type: string }): event is Happening =>
  event.type === 'loaded' || event.type === 'delivered' || event.type === 'failed';

export function withHappening(rest: Rest, event: Happening): Rest {
  if (event.type === 'failed') return { ...rest, failure: rest.failure ?? event.failure };
  return { ...rest, [event.type]: true };
}

/** `here`: all of it has come, and the channels may close. `lost`: what has not come never will. */
export function becameOf({ loaded, delivered, failure }: Rest): 'coming' | 'here' | { readonly lost: Failure } {
  // Once every page is here, a channel that dies takes nothing away any more.
  if (loaded) return delivered || failure ? 'here' : 'coming';
  return failure ? { lost: memoryLost(failure) } : 'coming';
}

export const memoryLost = ({ code, message }: Failure): Failure => ({
  code,
  message:
    'the VM ran at the destination by post-copy, and what it needed of its memory at the source can no longer be had: its memory is lost, ' +
    `and it was ended (${message})`,
});

/** At the source, from the grant on. */
export interface Fed {
  /** QEMU's migration is `completed`: the destination has said that it has every page. */
  readonly completed: boolean;
  /** Every local stream has ended. */
  readonly ended: boolean;
}

export const nothingFed: Fed = { completed: false, ended: false };

export const isFed = ({ completed, ended }: Fed): boolean => completed && ended;
