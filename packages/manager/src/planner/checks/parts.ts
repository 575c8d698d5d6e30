/** What a VM is made of, and whether that can move: disks, files of its host, devices. */
import { diskWords, type HostReport, isPoolDisk } from '@sealift/contract';
import type { SnapshotVm } from '../types.ts';
import { fail, pass, type Verdict, warn } from './check.ts';

/** @param report of that host, where it has ever answered */
export function disks(vm: SnapshotVm, to: string, report?: HostReport): Verdict {
  const { name, disks: all, kernelBoot } = vm.definition;
  const bound = all.filter((disk) => !disk.shared && !isPoolDisk(disk)).map(diskWords);
  if (bound.length > 0) {
    const reason = `VM ${name} has a disk that only its host sees, by its path: ${bound.join(', ')}`;
    const remedy = 'disks in pools go with their VM: import it as an image and make the disk of that (sealift image import), or share it';
    return fail('incompatible', reason, remedy, { disk: bound[0], disks: bound });
  }
  const lost = report && all.filter(isPoolDisk).find((disk) => !report.pools?.some((pool) => pool.name === disk.pool));
  if (lost) {
    const [why, remedy] = lost.shared
      ? ['is shared through it', 'give its agent that pool, on the storage that the hosts share']
      : ['goes with it', `give its agent a pool of that name (--pool ${lost.pool}=DIRECTORY), or choose another host`];
    const reason = `host ${to} has no pool ${lost.pool}, and disk ${diskWords(lost)} of VM ${name} ${why}`;
    return fail('incompatible', reason, remedy, { disk: diskWords(lost) });
  }
  const narrow = report && tooNarrow(vm, to, report);
  if (narrow) return narrow;
  if (kernelBoot) {
    const files = [kernelBoot.kernel, kernelBoot.initrd].filter((file) => file !== undefined).join(' and ');
    const remedy = `if they are not there, VM ${name} stays where it is: copy them there`;
    return warn(`VM ${name} boots from files of its host, ${files}; host ${to} must have the same`, remedy);
  }
  if (all.length === 0) return pass(`VM ${name} has no disk`);
  const copied = all.flatMap((disk, index) => (disk.shared ? [] : [`${diskWords(disk)} (${inMiB(roomOf(vm, index))})`]));
  if (copied.length > 0) return pass(`these disks go with VM ${name}: ${copied.join(', ')}`);
  return pass(`every disk of VM ${name} is shared: ${all.map(diskWords).join(', ')}; nothing is to be copied`);
}

/** Bytes that a disk needs at its destination: a raw one all that it can ever hold, another one what it takes now. 0 where its host does not say. */
function roomOf({ definition, disks: use = [] }: SnapshotVm, index: number): number {
  const { sizeBytes = 0, allocatedBytes = 0 } = use[index] ?? {};
  return definition.disks[index]?.format === 'raw' ? sizeBytes : allocatedBytes;
}

function tooNarrow(vm: SnapshotVm, to: string, { pools = [] }: HostReport): Verdict | undefined {
  const needed = new Map<string, number>();
  for (const [index, disk] of vm.definition.disks.entries()) {
    if (isPoolDisk(disk) && !disk.shared) needed.set(disk.pool, (needed.get(disk.pool) ?? 0) + roomOf(vm, index));
  }
  for (const { name: pool, available } of pools) {
    const bytes = needed.get(pool) ?? 0;
    if (bytes <= available) continue;
    const figures = `they need ${inMiB(bytes)}, and ${inMiB(available)} are free`;
    const reason = `the disks of VM ${vm.name} do not fit into pool ${pool} of host ${to}: ${figures}`;
    return fail('no_room', reason, 'remove disks or images there, or choose another host', {
      pool,
      neededBytes: bytes,
      availableBytes: available,
    });
  }
  return undefined;
}

const inMiB = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

export function devices({ name, host, adopted, immovable = [] }: SnapshotVm): Verdict {
  const reasons = [...(adopted ? [`it was not started by sealift on host ${host}, which only looks at it`] : []), ...immovable];
  if (reasons.length === 0) return pass(`VM ${name} has no device that is bound to its host`);
  const remedy = adopted
    ? 'define it with sealift and start it so; what was only adopted is never touched'
    : 'take away what binds it to its host';
  return fail('incompatible', `VM ${name} cannot be moved: ${reasons.join('; ')}`, remedy, { reasons });
}
