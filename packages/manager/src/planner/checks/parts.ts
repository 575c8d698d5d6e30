/** What a VM is made of, and whether that can move: disks, files of its host, devices. */
import type { VmDefinition } from '@sealift/contract';
import type { SnapshotVm } from '../types.ts';
import { fail, pass, type Verdict, warn } from './check.ts';

export function disks({ name, disks: all, kernelBoot }: VmDefinition, to: string): Verdict {
  const local = all.filter((disk) => !disk.shared).map((disk) => disk.path);
  if (local.length > 0) {
    const reason = `VM ${name} has ${local.length > 1 ? 'disks' : 'a disk'} that only its host sees, ${local.join(', ')}`;
    const remedy = 'this version moves VMs without disks or with shared ones; moving local disks comes in a later version';
    return fail('incompatible', reason, remedy, { disk: local[0], disks: local });
  }
  if (kernelBoot) {
    const files = [kernelBoot.kernel, kernelBoot.initrd].filter((file) => file !== undefined).join(' and ');
    const remedy = `if they are not there, VM ${name} stays where it is: copy them there`;
    return warn(`VM ${name} boots from files of its host, ${files}; host ${to} must have the same`, remedy);
  }
  if (all.length === 0) return pass(`VM ${name} has no disk`);
  return pass(`every disk of VM ${name} is shared: ${all.map((disk) => disk.path).join(', ')}; nothing is to be copied`);
}

export function devices({ name, host, adopted, immovable = [] }: SnapshotVm): Verdict {
  const reasons = [...(adopted ? [`it was not started by sealift on host ${host}, which only looks at it`] : []), ...immovable];
  if (reasons.length === 0) return pass(`VM ${name} has no device that is bound to its host`);
  const remedy = adopted
    ? 'define it with sealift and start it so; what was only adopted is never touched'
    : 'take away what binds it to its host';
  return fail('incompatible', `VM ${name} cannot be moved: ${reasons.join('; ')}`, remedy, { reasons });
}
