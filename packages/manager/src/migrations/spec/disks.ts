/** Which disks go with a VM, and how large they are: in its spec, so that both hosts mean the same. */
import {
  type AgentVm,
  type CopiedDisk,
  diskWords,
  isPoolDisk,
  type MigrationLimits,
  type MigrationOrder,
  SealiftError,
} from '@sealift/contract';

/**
 * @param vm as its host says now
 * @throws SealiftError `wrong_state` where the host does not say how large a disk is; `invalid_request` with post-copy
 */
export function copiedDisks(
  { definition: { name, disks }, disks: use = [] }: AgentVm,
  host: string,
  { postcopy }: MigrationLimits,
): CopiedDisk[] {
  const copied = disks.flatMap((disk, index): CopiedDisk[] => {
    if (disk.shared || !isPoolDisk(disk)) return [];
    const { sizeBytes, allocatedBytes } = use[index] ?? {};
    if (sizeBytes !== undefined && allocatedBytes !== undefined) return [{ index, sizeBytes, allocatedBytes }];
    const message = `host ${host} does not say how large disk ${diskWords(disk)} of VM ${name} is; look at its file (sealift vm show ${name}), then order again`;
    throw new SealiftError('wrong_state', message);
  });
  if (copied.length === 0 || !postcopy) return copied;
  const message =
    `VM ${name} has ${copied.length === 1 ? 'a disk that goes' : 'disks that go'} with it, and the order asks for post-copy: disks are copied whole before ` +
    'memory, and a VM that does not end that way is not moved by post-copy yet. Leave out post-copy';
  throw new SealiftError('invalid_request', message);
}

/** A line is at least so fast, or whoever has a slower one says how long it may take. Bytes a second. */
const leastDiskRate = 10_000_000;

/** The default deadline is meant for memory; disks get time on top. One that was ordered stands. */
export const timeForDisks = (limits: MigrationLimits, ordered: MigrationOrder['limits'], disks: readonly CopiedDisk[]): MigrationLimits => {
  if (ordered?.deadlineMs !== undefined || disks.length === 0) return limits;
  const bytes = disks.reduce((all, { allocatedBytes }) => all + allocatedBytes, 0);
  return { ...limits, deadlineMs: Math.min(longestDeadlineMs, limits.deadlineMs + Math.ceil((bytes / leastDiskRate) * 1000)) };
};
/** The contract's. */
const longestDeadlineMs = 86_400_000;
