/** Where a VM is, and what to do, in the words that refusals share. Nothing is said of what nobody knows. */
import { type Migration, SealiftError } from '@sealift/contract';

/** Why nothing can be done with a VM while this migration has not ended. */
export function moving({ id, vm, from, to, phase }: Migration): SealiftError {
  const details = { migration: id, phase };
  if (phase === 'in-doubt') {
    const where = `VM ${vm} is in doubt between host ${from}, where it is paused, and host ${to}, which may run it (migration ${id})`;
    const what = `It is settled as soon as both hosts answer; where one is gone for good, decide: sealift migration resolve ${id} --keep source|destination`;
    return new SealiftError('migrating', `${where}. ${what}`, { details });
  }
  const granted = phase === 'granted' || phase === 'releasing';
  const what = granted ? `it is being handed over; wait for migration ${id}` : `wait, or cancel migration ${id}`;
  return new SealiftError('migrating', `VM ${vm} is already moving from host ${from} to host ${to} (${phase}); ${what}`, { details });
}

/** Why nothing can be changed about a migration that has ended. */
export function over({ id, vm, from, to, phase, failure }: Migration): SealiftError {
  const where: Partial<Record<typeof phase, string>> = {
    completed: `; VM ${vm} was moved to host ${to}`,
    lost: `; the memory of VM ${vm} is lost. ${failure?.advice ?? ''}`.trimEnd(),
    failed: `; VM ${vm} stayed at host ${from}`,
    cancelled: `; VM ${vm} stayed at host ${from}`,
  };
  const message = `migration ${id} has already ended: ${phase}${where[phase] ?? ''}. See how it is now: sealift vm show ${vm}`;
  return new SealiftError('wrong_state', message, { details: { phase } });
}

/** Why something has to wait for the source to be told. */
export const notTold = ({ id, vm, from, to }: Migration): SealiftError =>
  new SealiftError(
    'wrong_state',
    `migration ${id} is being prepared: VM ${vm} is at host ${from}, and host ${to} is made ready. Try again in a moment`,
  );
