/** The lab's virtual machines. */
import type { VmDefinition } from '@sealift/contract';
import { kernelCommandLine } from '../guest/boot.ts';
import type { GuestImage } from '../guest/image.ts';
import { guestAddress } from '../topology/plan.ts';

export const guestName = 'web';
/** Where its Redis answers, in the client's namespace. */
export const guestHost = guestAddress(0).replace(/\/.*/, '');

export interface GuestOptions {
  /** Of several guests; the first is 0. */
  readonly index?: number;
  readonly memoryMiB: number;
  /** 0 for no memory checker. */
  readonly checkerMiB: number;
}

/** The first is {@link guestName}, the others are numbered. */
export const guestNameOf = (index: number): string => (index === 0 ? guestName : `${guestName}-${index}`);

export const guestDefinition = (image: GuestImage, { index = 0, memoryMiB, checkerMiB }: GuestOptions): VmDefinition => ({
  name: guestNameOf(index),
  memoryMiB,
  vcpus: 1,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  kernelBoot: {
    kernel: image.kernel,
    initrd: image.initrd,
    cmdline: kernelCommandLine({ address: guestAddress(index), checkerMiB, checkerPauseMs: 1000 }),
  },
  disks: [],
  nics: [{ bridge: 'br0', mac: `52:54:00:5e:a1:${(index + 1).toString(16).padStart(2, '0')}` }],
  encryption: 'opportunistic',
});
