/** Sealed or clear: what the VM's encryption mode, the order and the two hosts come to. */
import type { EncryptionMode, HostReport, Suite } from '@sealift/contract';
import { type Failed, fail, pass, type Verdict, warn } from './check.ts';

export interface SuiteChoice {
  readonly suite: Suite;
  /** Said in the plan, the result and the log wherever a VM moves in clear. */
  readonly clearBecause?: string;
  /** It could be sealed, if the hosts were others. */
  readonly fallback?: true;
}

type Sealer = Pick<HostReport, 'name' | 'canSeal' | 'cannotSealBecause' | 'aesInstructions'>;

/** Sealed wherever the mode, the order and both hosts allow it; what must be sealed is never moved otherwise. */
export function chooseSuite(
  vm: { readonly name: string; readonly encryption: EncryptionMode },
  orderedClear: boolean,
  hosts: readonly Sealer[],
): SuiteChoice | Failed {
  const unable = hosts.filter((host) => !host.canSeal);
  const names = unable.map((host) => `host ${host.name} cannot seal${because(host)}`).join(', and ');
  if (vm.encryption === 'required') {
    const must = `VM ${vm.name} must be sealed (encryption required)`;
    if (orderedClear) return fail('encryption_required', `${must}, and it was ordered clear`, 'order it without clear');
    if (unable.length === 0) return { suite: 'aes-256-gcm' };
    const remedy = 'choose hosts that can seal, at both ends; sealift host list shows which do';
    return fail('encryption_required', `${must}, and ${names}`, remedy, { hosts: unable.map((host) => host.name) });
  }
  if (vm.encryption === 'disabled') return { suite: 'none', clearBecause: `encryption of VM ${vm.name} is disabled` };
  if (orderedClear) return { suite: 'none', clearBecause: 'it was ordered clear' };
  if (unable.length === 0) return { suite: 'aes-256-gcm' };
  return { suite: 'none', clearBecause: `${names}, and encryption of VM ${vm.name} is opportunistic`, fallback: true };
}

const because = ({ cannotSealBecause }: Sealer): string => (cannotSealBecause === undefined ? '' : ` (${cannotSealBecause})`);

export function encryption(
  vm: { readonly name: string; readonly encryption: EncryptionMode },
  orderedClear: boolean,
  hosts: readonly Sealer[],
): Verdict {
  const choice = chooseSuite(vm, orderedClear, hosts);
  if ('verdict' in choice) return choice;
  if (choice.clearBecause !== undefined) {
    const remedies: Record<EncryptionMode, string> = {
      required: '',
      opportunistic: orderedClear ? 'order it without clear to have it sealed' : 'choose hosts that can seal, at both ends',
      disabled: `to have it sealed: sealift vm set ${vm.name} --encryption opportunistic`,
    };
    return warn(`VM ${vm.name} would move WITHOUT ENCRYPTION: ${choice.clearBecause}`, remedies[vm.encryption]);
  }
  const slow = hosts.filter((host) => host.aesInstructions === false).map((host) => host.name);
  const slowly = slow.length > 0 ? `; slowly, for ${slow.join(' and ')} has no AES instructions` : '';
  return pass(`sealed: ${hosts.map((host) => host.name).join(' and ')} can both seal${slowly}`);
}
