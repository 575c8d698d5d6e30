/**
 * What the journal holds of each attempt, and how the last state is read back from it. A record is written before what it says is done;
 * `ended` is written after everything is. It is kept until the spec has expired, so that an attempt is accepted only once, and for
 * {@link unheardMs} where the other host may not have heard how it ended and may still ask.
 */
import type { Peer } from '@sealift/contract';
import type { FailureCode } from '@sealift/transport';

/** The VM before the source stopped it: it arrives in the same state. */
export type RunState = 'running' | 'paused';

interface Common {
  readonly migration: string;
  readonly attempt: number;
  readonly vm: string;
  /** The spec's, milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Who has the other half, and where its agent answers. */
  readonly peer: Peer;
  /** An administrator decided it, not the two hosts. */
  readonly resolved?: true;
  /** With `granted` and `run`: by post-copy, so that pages were missing at the destination then. */
  readonly postcopy?: true;
  /** With `ended`: the other host has been seen to know how it ended. */
  readonly heard?: true;
}

export type SourceStep = 'accepted' | 'abandoned' | 'granted' | 'released' | 'resuming' | 'ended';
export type DestinationStep = 'prepared' | 'run' | 'aborted' | 'ended';

export interface SourceRecord extends Common {
  readonly role: 'source';
  readonly step: SourceStep;
  readonly runState: RunState;
  /** What becomes of the disks that only this host has, once the VM has gone. */
  readonly ownDisks?: 'keep' | 'remove';
  readonly outcome?: SourceOutcome;
}

export interface DestinationRecord extends Common {
  readonly role: 'destination';
  readonly step: DestinationStep;
  /** From `run` on. */
  readonly runState?: RunState;
  readonly outcome?: DestinationOutcome;
}

export type HandoverRecord = SourceRecord | DestinationRecord;

/** How an attempt ended for the source: the VM went, or it is here as before, or its memory is gone. */
export type SourceOutcome = 'released' | 'kept' | 'lost';
/** For the destination: the VM came, or nothing is left of it here. */
export type DestinationOutcome = 'arrived' | 'discarded' | 'lost';

/** Why an attempt did not go through. `code` is a failure code of docs/protocol.md or an error code of the API. */
export interface Failure {
  readonly code: FailureCode | 'cancelled' | 'hypervisor' | 'internal' | 'migration_failed' | 'did_not_converge' | 'resolved';
  readonly message: string;
}

export const keyOf = (attempt: { readonly migration: string; readonly attempt: number }): string =>
  `${attempt.migration}/${attempt.attempt}`;

/** The last record of each attempt, oldest attempt first. */
export function lastRecords(records: readonly unknown[]): Map<string, HandoverRecord> {
  const last = new Map<string, HandoverRecord>();
  for (const record of records as readonly HandoverRecord[]) last.set(keyOf(record), record); // checksums say that we wrote them
  return last;
}

/** How long an end is kept whose other half may still ask for it: a host that comes back later than that is an administrator's to settle. */
export const unheardMs = 30 * 24 * 3_600_000;

/** What compaction has to keep. @param now milliseconds since the epoch */
export function liveRecords(records: readonly unknown[], now: number): HandoverRecord[] {
  return [...lastRecords(records).values()].filter(
    ({ step, expiresAt, heard }) => step !== 'ended' || expiresAt + (heard ? 0 : unheardMs) > now,
  );
}
