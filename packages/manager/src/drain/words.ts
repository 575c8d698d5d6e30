/** What a drain says of the VMs that stay. Pure. */
import { type MigrationFailure, SealiftError } from '@sealift/contract';
import type { Stays } from './round.ts';

/** Of a long list, so many are named. */
const named = 20;

const listed = (stays: readonly Stays[]): string => {
  const more = stays.length > named ? `; and ${stays.length - named} more` : '';
  return `${stays
    .slice(0, named)
    .map(({ vm, why }) => `VM ${vm}: ${why}`)
    .join('; ')}${more}`;
};

export function staying(host: string, stays: readonly Stays[]): MigrationFailure {
  const count = stays.length === 1 ? 'one VM stays' : `${stays.length} VMs stay`;
  return {
    code: 'wrong_state',
    message: `${count} on host ${host}. ${listed(stays)}`,
    advice: `Nothing new is placed on host ${host}. Mend what is said, or stop these VMs, and drain it again; or take it back: sealift host undrain ${host}`,
  };
}

/** Not one VM could leave: the order is refused, and the host serves on as it did. */
export function nothingLeaves(host: string, stays: readonly Stays[]): SealiftError {
  const message = `host ${host} cannot be drained now: not one of its VMs could leave, and nothing was changed. ${listed(stays)}`;
  return new SealiftError('wrong_state', message, { details: { stays: stays.map(({ vm, why }) => ({ vm, why })) } });
}
