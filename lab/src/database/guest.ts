/** The database's guest as a VM of the lab. */
import type { Disk, VmDefinition } from '@sealift/contract';
import { guestAddress } from '../topology/plan.ts';
import type { DatabaseImage } from './image.ts';

export interface DatabaseGuest {
  readonly name: string;
  /** Its address counts from the lab's first guest. */
  readonly index: number;
  /** Tables, then log: copies of the image's disks. */
  readonly disks: readonly [Disk, Disk];
  readonly memoryMiB?: number;
}

/** Where it answers, in the client's namespace. */
export const databaseHost = ({ index }: Pick<DatabaseGuest, 'index'>): string => guestAddress(index).replace(/\/.*/, '');

export const databaseDefinition = (image: DatabaseImage, guest: DatabaseGuest): VmDefinition => ({
  name: guest.name,
  memoryMiB: guest.memoryMiB ?? 256,
  vcpus: 1,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  kernelBoot: {
    kernel: image.kernel,
    initrd: image.initrd,
    // As boot.ts has it for the other guest: booting is slow under emulation, and a panic is to be the end of the log.
    cmdline: `console=ttyS0 mitigations=off rcupdate.rcu_expedited=1 random.trust_cpu=on sealift.ip=${guestAddress(guest.index)}`,
  },
  disks: [...guest.disks],
  nics: [{ bridge: 'br0', mac: `52:54:00:5e:a1:${(guest.index + 1).toString(16).padStart(2, '0')}` }],
  encryption: 'opportunistic',
});
