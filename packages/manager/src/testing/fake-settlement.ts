/** How a pretended host settles an attempt that is in doubt, lets an administrator decide, and takes other limits: as docs/handover.md says. */
import {
  type AttemptReport,
  finalPhases,
  type Keep,
  type LimitsChange,
  SealiftError,
  type Statement,
  type Verdict,
} from '@sealift/contract';
import type { FakeAttempt } from './fake-attempt.ts';
import type { FakeHost } from './fake-host.ts';

type Place = Pick<FakeHost, 'vms' | 'settleVm'>;

/** What a host says of an attempt; nothing while it may still go either way there. */
export function verdictOf({ role, phase }: AttemptReport): Verdict | undefined {
  if (phase === 'failed' || phase === 'cancelled' || (phase === 'lost' && role === 'source')) return 'aborted';
  if (role === 'destination') return phase === 'completed' || phase === 'lost' ? 'running' : undefined;
  return ['granted', 'in-doubt', 'releasing', 'completed'].includes(phase) ? 'granted' : undefined;
}

/** Acts on what the other host says. */
export function settleFake(host: Place, attempt: FakeAttempt, { verdict, challenge }: Statement): void {
  const { role, phase, vm } = attempt.report;
  if (phase !== 'in-doubt') return;
  if (role === 'source' && verdict === 'running') {
    host.vms.delete(vm);
    attempt.enter('completed');
  } else if (role === 'source' && verdict === 'aborted') {
    host.settleVm(vm, attempt.runState);
    attempt.enter('failed', { code: 'peer', message: 'the destination could not run the VM and aborted' });
  } else if (role === 'destination' && verdict === 'granted' && challenge === attempt.challenge) {
    host.settleVm(vm, attempt.runState);
    attempt.enter('completed');
  } else if (role === 'destination' && verdict === 'aborted') supersede(host, attempt);
}

/** @param cancel what is done at a source that has not granted */
export function resolveFake(host: Place, attempt: FakeAttempt, keep: Keep, cancel: () => void): void {
  const { role, phase, vm } = attempt.report;
  const ended = finalPhases.includes(phase);
  if (phase === 'lost') return;
  if (role === 'destination') {
    if (keep === 'source') {
      if (!ended || phase === 'completed') supersede(host, attempt);
    } else if (phase === 'in-doubt') {
      host.settleVm(vm, attempt.runState);
      attempt.enter('completed');
    } else if (phase !== 'completed') throw undecidable(attempt, keep);
    return;
  }
  if (phase === 'in-doubt' && keep === 'source') {
    host.settleVm(vm, attempt.runState);
    attempt.enter('failed', { code: 'resolved', message: "an administrator kept the source's copy" }, 'source');
  } else if (phase === 'in-doubt') {
    host.vms.delete(vm);
    attempt.enter('completed', undefined, 'destination');
  } else if (keep === 'source' && beforeGrant.includes(phase)) cancel();
  else if (!(ended && (phase === 'completed') === (keep === 'destination'))) throw undecidable(attempt, keep);
}

export function adjustFake(attempt: FakeAttempt, change: LimitsChange): AttemptReport {
  const { role, phase, vm } = attempt.report;
  if (role === 'destination') throw new SealiftError('wrong_state', `${vm} is on its way here: its limits are its source's to change`);
  if (!['preparing', 'connecting', 'copying'].includes(phase)) {
    throw new SealiftError('wrong_state', `${vm} is past copying (${phase}): no limit applies any more`);
  }
  Object.assign(attempt.adjusted, change);
  return attempt.report;
}

const beforeGrant: readonly string[] = ['preparing', 'connecting', 'copying', 'switching-over'];

function supersede(host: Place, attempt: FakeAttempt): void {
  host.vms.delete(attempt.report.vm);
  attempt.enter('failed', { code: 'resolved', message: "an administrator kept the source's copy: this one is superseded" }, 'source');
}

/** `details.state` is the name of the agent's own state; see packages/agent/src/handover. */
function undecidable({ report: { role, phase, vm } }: FakeAttempt, keep: Keep): SealiftError {
  const state = finalPhases.includes(phase) ? 'ended' : role === 'destination' ? 'receiving' : phase;
  return new SealiftError('wrong_state', `${vm} is ${state} here: the ${keep} cannot be kept`, { details: { state } });
}
