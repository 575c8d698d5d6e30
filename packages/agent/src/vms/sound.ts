/** What is refused of a definition before anything is made of it. */
import { normalize } from 'node:path';
import { disksFault, diskWords, isPoolDisk, SealiftError, type VmDefinition } from '@sealift/contract';
import type { Copy } from '../disks/disks.ts';

/** @throws SealiftError `invalid_request` */
export function requireSound({ name, disks }: VmDefinition): void {
  const fault = disksFault(disks);
  if (fault !== undefined) throw new SealiftError('invalid_request', `the definition of ${name} is not right: ${fault}`);
}

/** @throws SealiftError `incompatible`: a disk that only the source has, and that nobody brings */
export function requireBrought({ name, disks }: VmDefinition, copies: readonly Copy[]): void {
  const left = disks.filter(isPoolDisk).find((disk) => !disk.shared && !copies.some((copy) => copy.disk === disk));
  if (!left) return;
  throw new SealiftError(
    'incompatible',
    `${name} cannot come here: its disk ${diskWords(left)} is not shared, and the order does not copy it`,
  );
}

/**
 * @param files that are to be removed with the VM
 * @throws SealiftError `wrong_state`: another one has one of them by its path
 */
export function requireUnshared(name: string, files: readonly string[], others: readonly VmDefinition[]): void {
  for (const { name: other, disks } of others) {
    const file = disks.map(({ path }) => path !== undefined && normalize(path)).find((path) => path && files.includes(path));
    if (!file) continue;
    throw new SealiftError(
      'wrong_state',
      `${name} is not removed: ${file} is a disk of VM ${other} as well. Remove ${other} first, or keep the disks of ${name} (--keep-disks)`,
    );
  }
}
