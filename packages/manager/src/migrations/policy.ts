/** Sealed or clear: what the VM's encryption mode, the order and the two hosts come to. */
import { type EncryptionMode, type HostReport, SealiftError, type Suite } from '@sealift/contract';

export interface SuiteChoice {
  readonly suite: Suite;
  /** Said in the plan, the result and the log wherever a VM moves in clear. */
  readonly clearBecause?: string;
}

/** @throws SealiftError encryption_required: the mode is `required`, and the order or a host would not seal */
export function chooseSuite(
  vm: { readonly name: string; readonly encryption: EncryptionMode },
  orderedClear: boolean,
  hosts: readonly Pick<HostReport, 'name' | 'canSeal'>[],
): SuiteChoice {
  const unable = hosts.filter((host) => !host.canSeal).map((host) => host.name);
  const names = `host${unable.length > 1 ? 's' : ''} ${unable.join(' and ')}`;
  if (vm.encryption === 'required') {
    if (orderedClear)
      throw new SealiftError('encryption_required', `VM ${vm.name} must be sealed (encryption required); order it without clear`);
    if (unable.length > 0) {
      throw new SealiftError('encryption_required', `VM ${vm.name} must be sealed (encryption required), and ${names} cannot seal`, {
        details: { hosts: unable },
      });
    }
    return { suite: 'aes-256-gcm' };
  }
  if (vm.encryption === 'disabled') return { suite: 'none', clearBecause: `encryption of VM ${vm.name} is disabled` };
  if (orderedClear) return { suite: 'none', clearBecause: 'it was ordered clear' };
  if (unable.length > 0) return { suite: 'none', clearBecause: `${names} cannot seal, and encryption of VM ${vm.name} is opportunistic` };
  return { suite: 'aes-256-gcm' };
}
