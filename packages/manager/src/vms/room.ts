/** Whether a host can take a VM: asked of a report that was just made. */
import { type HostReport, SealiftError, type VmDefinition } from '@sealift/contract';

const MiB = 1024 * 1024;

/** @throws SealiftError no_room with figures, or naming the bridge */
export function checkRoom(definition: VmDefinition, host: HostReport): void {
  const { available, total } = host.memory;
  if (definition.memoryMiB * MiB > available) {
    const figures = `it needs ${definition.memoryMiB} MiB and ${inMiB(available)} of ${inMiB(total)} are free`;
    throw new SealiftError('no_room', `VM ${definition.name} does not fit on host ${host.name}: ${figures}`, {
      details: { neededBytes: definition.memoryMiB * MiB, availableBytes: available, totalBytes: total },
    });
  }
  const missing = definition.nics.map((nic) => nic.bridge).find((bridge) => !host.bridges.includes(bridge));
  if (missing !== undefined) {
    const there = host.bridges.length === 0 ? 'it has none' : `it has ${host.bridges.join(', ')}`;
    throw new SealiftError('no_room', `host ${host.name} has no bridge ${missing} for VM ${definition.name}; ${there}`, {
      details: { bridge: missing },
    });
  }
}

/** @throws SealiftError incompatible */
export function checkMachine(definition: VmDefinition, host: HostReport): void {
  const { machines, version } = host.qemu;
  if (machines.includes(definition.machine)) return;
  const message = `host ${host.name}'s QEMU ${version} does not know machine type ${definition.machine} of VM ${definition.name}`;
  throw new SealiftError('incompatible', message, { details: { machine: definition.machine } });
}

const inMiB = (bytes: number): string => `${Math.floor(bytes / MiB)} MiB`;
