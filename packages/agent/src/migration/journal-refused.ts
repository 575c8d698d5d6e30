/** A record that the journal did not take, in words: what JournalError says (file, errno, cure), and where that leaves the VM. */
import { SealiftError } from '@sealift/contract';
import type { Failure } from '../handover/records.ts';
import type { SourceState } from '../handover/source.ts';
import { JournalError } from '../journal.ts';

interface Names {
  readonly vm: string;
  readonly host: string;
  readonly peer: string;
}

/** @param at where the machine is: only where it was the grant that was refused is the VM let run again */
export function refusedAtSource({ code, message }: Failure, at: SourceState['at'], { vm, host, peer }: Names): Failure {
  const where =
    at === 'granted'
      ? `VM ${vm} runs on at host ${host}, and nothing of it is left at host ${peer}`
      : `VM ${vm} stays paused at host ${host}, in doubt, until the journal takes what host ${peer} has said of it`;
  return { code, message: `${message}. ${where}` };
}

export const refusedAtDestination = ({ code, message }: Failure, { vm, host, peer }: Names): Failure => ({
  code,
  message: `${message}. VM ${vm} has not run at host ${host}, which gives it back to host ${peer} as soon as it can`,
});

/** @throws what `error` was; where the journal refused to begin, in words for whoever ordered the move */
export function notBegun(error: unknown, vm: string, source: string): never {
  if (!(error instanceof JournalError)) throw error;
  const message = `VM ${vm} is not moved and is at host ${source} as before: ${error.message}, then order it again`;
  throw new SealiftError('internal', message, { cause: error, details: { journal: error.errno } });
}
