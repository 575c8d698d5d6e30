/** Whether a host can take a VM that is only being defined: asked of a report that was just made. */
import type { HostReport, VmDefinition } from '@sealift/contract';
import { unlessFailed } from '../planner/checks/check.ts';
import { machineType } from '../planner/checks/qemu.ts';
import { memory, networks } from '../planner/checks/room.ts';

/** @throws SealiftError no_room with figures, or naming the bridge */
export function checkRoom(definition: VmDefinition, host: HostReport): void {
  unlessFailed(memory(definition, host, host.memory.available));
  unlessFailed(networks(definition, host));
}

/** @throws SealiftError incompatible */
export const checkMachine = (vm: VmDefinition, to: HostReport): void => unlessFailed(machineType({ vm, to }));
