/** Has a host the memory and the networks for a VM? */
import type { HostReport, VmDefinition } from '@sealift/contract';
import { fail, pass, type Verdict } from './check.ts';

const MiB = 1024 * 1024;

/** @param free bytes, with what is on its way there taken off */
export function memory(vm: VmDefinition, host: HostReport, free: number): Verdict {
  const { available, total } = host.memory;
  const needed = vm.memoryMiB * MiB;
  const left = Math.max(0, free);
  const arriving = available - left > 0 ? ` (${inMiB(available - left)} are kept for VMs on their way there)` : '';
  const figures = `needs ${vm.memoryMiB} MiB and ${inMiB(left)} of ${inMiB(total)} are free${arriving}`;
  if (needed <= left) return pass(`VM ${vm.name} ${figures} on host ${host.name}`);
  const reason = `VM ${vm.name} does not fit on host ${host.name}: it ${figures}`;
  const details = { neededBytes: needed, availableBytes: left, totalBytes: total };
  return fail('no_room', reason, 'choose a host with more, or move or stop other VMs there', details);
}

export function networks(vm: VmDefinition, host: HostReport): Verdict {
  const wanted = [...new Set(vm.nics.map((nic) => nic.bridge))];
  const missing = wanted.filter((bridge) => !host.bridges.includes(bridge));
  if (missing.length === 0) {
    return pass(wanted.length === 0 ? `VM ${vm.name} has no network` : `host ${host.name} has ${bridges(wanted)}`);
  }
  const there = host.bridges.length === 0 ? 'it has none' : `it has ${host.bridges.join(', ')}`;
  const reason = `host ${host.name} has no ${bridges(missing)} for VM ${vm.name}; ${there}`;
  return fail('no_room', reason, `make ${missing.length > 1 ? 'them' : 'it'} there, or choose another host`, {
    bridge: missing[0],
    missing,
  });
}

const bridges = (names: readonly string[]): string => `bridge${names.length > 1 ? 's' : ''} ${names.join(', ')}`;
const inMiB = (bytes: number): string => `${Math.floor(bytes / MiB)} MiB`;
