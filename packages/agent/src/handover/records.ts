/**
 * What the journal holds of each attempt, and how the last state is read back from it. A record is written before what it says is done;
 * `ended` is written after everything is, and is kept until the spec has expired, so that an attempt is accepted only once.
 */
import type { FailureCode } from '@sealift/transport';

/** The VM before the source stopped it: it arrives in the same state. */
export type RunState = 'running' | 'paused';

interface Common {
  readonly migration: string;
  readonly attempt: number;
  readonly vm: string;
  /** The spec's, milliseconds since the epoch. */
  readonly expiresAt: number;
}

export type SourceStep = 'accepted' | 'abandoned' | 'granted' | 'released' | 'resuming' | 'ended';
export type DestinationStep = 'prepared' | 'run' | 'aborted' | 'ended';

export interface SourceRecord extends Common {
  readonly role: 'source';
  readonly step: SourceStep;
  readonly runState: RunState;
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
  readonly code: FailureCode | 'cancelled' | 'hypervisor' | 'internal' | 'migration_failed';
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

/** What compaction has to keep. @param now milliseconds since the epoch */
export function liveRecords(records: readonly unknown[], now: number): HandoverRecord[] {
  return [...lastRecords(records).values()].filter((record) => record.step !== 'ended' || record.expiresAt > now);
}
