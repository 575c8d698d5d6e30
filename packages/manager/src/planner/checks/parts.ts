/** What a VM is made of, and whether that can move: disks, files of its host, devices. */
import { diskWords, type HostReport, isPoolDisk, type VmDefinition } from '@sealift/contract';
import type { SnapshotVm } from '../types.ts';
import { fail, pass, type Verdict, warn } from './check.ts';

/** @param report of that host, where it has ever answered */
export function disks({ name, disks: all, kernelBoot }: VmDefinition, to: string, report?: HostReport): Verdict {
  const local = all.filter((disk) => !disk.shared).map(diskWords);
  if (local.length > 0) {
    const reason = `VM ${name} has ${local.length > 1 ? 'disks' : 'a disk'} that only its host sees, ${local.join(', ')}`;
    const remedy = 'this version moves VMs without disks or with shared ones; moving local disks comes in a later version';
    return fail('incompatible', reason, remedy, { disk: local[0], disks: local });
  }
  const lost = report && all.filter(isPoolDisk).find((disk) => !report.pools?.some((pool) => pool.name === disk.pool));
  if (lost) {
    const reason = `host ${to} has no pool ${lost.pool}, and disk ${diskWords(lost)} of VM ${name} is shared through it`;
    return fail('incompatible', reason, 'give its agent that pool, on the storage that the hosts share', { disk: diskWords(lost) });
  }
  if (kernelBoot) {
    const files = [kernelBoot.kernel, kernelBoot.initrd].filter((file) => file !== undefined).join(' and ');
    const remedy = `if they are not there, VM ${name} stays where it is: copy them there`;
    return warn(`VM ${name} boots from files of its host, ${files}; host ${to} must have the same`, remedy);
  }
  if (all.length === 0) return pass(`VM ${name} has no disk`);
  return pass(`every disk of VM ${name} is shared: ${all.map(diskWords).join(', ')}; nothing is to be copied`);
}

export function devices({ name, host, adopted, immovable = [] }: SnapshotVm): Verdict {
  const reasons = [...(adopted ? [`it was not started by sealift on host ${host}, which only looks at it`] : []), ...immovable];
  if (reasons.length === 0) return pass(`VM ${name} has no device that is bound to its host`);
  const remedy = adopted
    ? 'define it with sealift and start it so; what was only adopted is never touched'
    : 'take away what binds it to its host';
  return fail('incompatible', `VM ${name} cannot be moved: ${reasons.join('; ')}`, remedy, { reasons });
}
