/** Changing a VM's definition: all of it while it is off, the encryption mode at any time. */
import { isDeepStrictEqual } from 'node:util';
import { SealiftError, type VmDefinition } from '@sealift/contract';
import type { MonitoredHost } from '../agents/monitor.ts';
import type { StoredVm } from '../store/store.ts';
import { checkMachine, checkRoom } from './room.ts';

/** The fields of the definition, encryption aside, that are to be others. */
export function changedFields(before: VmDefinition, after: VmDefinition): string[] {
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]) as Set<keyof VmDefinition>; // the keys of two definitions
  fields.delete('encryption');
  return [...fields].filter((field) => !isDeepStrictEqual(before[field], after[field]));
}

/**
 * Tells the host of a definition in which more than the encryption mode is another.
 * @throws SealiftError invalid_request, wrong_state while it is not off, no_room, incompatible, agent_unreachable; nothing is changed then
 */
export async function redefine(vm: StoredVm, definition: VmDefinition, host: MonitoredHost): Promise<void> {
  const { name } = vm;
  const report = await host.ask();
  const here = report.vms.find((each) => each.definition.name === name);
  const fields = changedFields(vm.definition, definition);
  if (!here) {
    const message = `host ${vm.host}, where the manager has VM ${name}, does not have it; see sealift vm show ${name}`;
    throw new SealiftError('wrong_state', message);
  }
  if (here.state !== 'stopped' && here.state !== 'crashed') {
    const message = `VM ${name} is ${here.state}: only its encryption can be changed now; for ${fields.join(', ')} stop it first`;
    throw new SealiftError('wrong_state', message, { details: { state: here.state, fields } });
  }
  checkMachine(definition, report);
  checkRoom(definition, report);
  await host.link.client.changeVm({ params: { vm: name }, body: definition });
}
