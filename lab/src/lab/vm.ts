/** The lab's virtual machine. */
import type { VmDefinition } from '@sealift/contract';
import { kernelCommandLine } from '../guest/boot.ts';
import type { GuestImage } from '../guest/image.ts';
import { guestAddress } from '../topology/plan.ts';

export const guestName = 'web';
/** Where its Redis answers, in the client's namespace. */
export const guestHost = guestAddress(0).replace(/\/.*/, '');

export interface GuestOptions {
  readonly memoryMiB: number;
  /** 0 for no memory checker. */
  readonly checkerMiB: number;
}

export const guestDefinition = (image: GuestImage, { memoryMiB, checkerMiB }: GuestOptions): VmDefinition => ({
  name: guestName,
  memoryMiB,
  vcpus: 1,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  kernelBoot: {
    kernel: image.kernel,
    initrd: image.initrd,
    cmdline: kernelCommandLine({ address: guestAddress(0), checkerMiB, checkerPauseMs: 1000 }),
  },
  disks: [],
  nics: [{ bridge: 'br0', mac: '52:54:00:5e:a1:01' }],
  encryption: 'opportunistic',
});
