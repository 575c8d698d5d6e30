/** What may be ordered of a VM beside starting and ending it. Each in the VM's turn, with no migration's hand on it: VmHost sees to both. */
import { isDeepStrictEqual } from 'node:util';
import { SealiftError, type VmDefinition } from '@sealift/contract';
import { cont, queryRunState, reset, stop } from '@sealift/hypervisor';
import type { Disks } from '../disks/disks.ts';
import type { Undo } from '../undo.ts';
import { saveRecord } from './definitions.ts';
import type { Vm } from './vm.ts';

/**
 * Another definition. All of it while the VM is off; while it has a QEMU, only what QEMU does not come to know. Disks that it has in pools only now are made;
 * files of those that it has no more are left.
 * @throws SealiftError `invalid_request` for another name; `wrong_state`, naming the fields that need the VM to be off
 */
export async function changeDefinition(vm: Vm, definition: VmDefinition, disks: Disks, undo: Undo): Promise<void> {
  if (definition.name !== vm.name) {
    throw new SealiftError('invalid_request', `a VM keeps its name: the definition for ${vm.name} names ${definition.name}`);
  }
  const fields = changedFields(vm.definition, definition);
  if (fields.length === 0) return;
  const needOff = fields.filter((field) => field !== 'encryption');
  if (vm.link && needOff.length > 0) {
    throw new SealiftError(
      'wrong_state',
      `${vm.name} is ${vm.state}: only its encryption mode can change now. Stop it to change ${needOff.join(', ')}`,
      { details: { fields: needOff } },
    );
  }
  const before = vm.record;
  const record = { ...before, definition };
  await disks.change(vm.name, before.definition.disks, definition.disks, undo, async () => {
    undo.push(`give ${vm.name} its old definition back`, () => saveRecord(vm.paths, before));
    await saveRecord(vm.paths, record);
  });
  vm.record = record;
}

/** The fields in which two definitions differ, sorted; one that is left out differs from any value. */
export const changedFields = (before: VmDefinition, after: VmDefinition): string[] => {
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...new Set([...old.keys(), ...now.keys()])].filter((key) => !isDeepStrictEqual(old.get(key), now.get(key))).sort();
};

/** Presses the reset button. A paused VM stays paused, and begins anew when it is resumed. @throws SealiftError `wrong_state`, `hypervisor` */
export async function resetVm(vm: Vm): Promise<void> {
  requireOn(vm, 'reset');
  await reset(vm.monitor);
  await vm.link?.refresh();
}

/** Pauses the vCPUs. Nothing happens to a VM that is paused. @throws SealiftError `wrong_state`, `hypervisor` */
export async function suspendVm(vm: Vm): Promise<void> {
  requireOn(vm, 'suspended');
  if (vm.state === 'paused') return;
  await stop(vm.monitor);
  await vm.link?.refresh();
}

/**
 * Lets a paused VM run, also one whose QEMU was started and never run because the agent ended in between. Nothing happens to a VM that runs.
 * @throws SealiftError `wrong_state`, also where QEMU would not run it: it asks for a reset first, or its guest sleeps; `hypervisor`
 */
export async function resumeVm(vm: Vm): Promise<void> {
  requireOn(vm, 'resumed');
  if (vm.state === 'running') return;
  const state = await queryRunState(vm.monitor);
  if (state === 'internal-error' || state === 'suspended') {
    const why = state === 'suspended' ? 'its guest has put itself to sleep' : 'its virtual CPU came to a state that it cannot go on from';
    throw new SealiftError('wrong_state', `${vm.name} is paused and cannot be resumed: ${why}; reset it, then resume it`);
  }
  await cont(vm.monitor);
  await vm.link?.refresh();
}

function requireOn(vm: Vm, done: string): void {
  if (!vm.link) throw new SealiftError('wrong_state', `${vm.name} is ${vm.state}: it cannot be ${done}; start it first`);
  if (vm.state === 'stopped') throw new SealiftError('wrong_state', `${vm.name}'s guest has powered off: it cannot be ${done}`);
}
