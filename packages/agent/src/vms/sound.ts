/** What is refused of a definition before anything is made of it. */
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
