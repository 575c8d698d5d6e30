/** A MAC address for a NIC that was given none. */
import { createHash } from 'node:crypto';

/**
 * From the VM's name and the NIC's place, so that the same VM gets the same address wherever and whenever it is created.
 * 52:54:00 is the prefix that QEMU guests use; it is locally administered (IEEE 802, second bit of the first octet) and unicast.
 */
export function macFor(vm: string, nic: number): string {
  const hash = createHash('sha256').update(`${vm}/${nic}`).digest('hex');
  return `52:54:00:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}`;
}
