/** Everything that can be known to stand in a migration's way before anything is changed. Each refusal says so in words. */
import { type HostReport, SealiftError, type VmDefinition } from '@sealift/contract';
import { checkMachine, checkRoom } from '../vms/room.ts';

/** Of sealed channels; this manager makes specs of this version only. */
export const protocolVersion = 1;

export interface Plan {
  readonly definition: VmDefinition;
  readonly multifdChannels: number;
  /** Reports that were just made. */
  readonly from: HostReport;
  readonly to: HostReport;
}

/** @throws SealiftError wrong_state, incompatible, already_exists, no_room */
export function checkPlan(plan: Plan): void {
  const { definition, from, to } = plan;
  checkState(plan);
  checkDisks(definition);
  checkMachine(definition, to);
  checkVersions(plan);
  if (to.vms.some((vm) => vm.definition.name === definition.name)) {
    const message = `host ${to.name} already has a VM ${definition.name}; ${from.name}'s cannot move there. See sealift vm show ${definition.name}`;
    throw new SealiftError('already_exists', message);
  }
  checkRoom(definition, to);
}

function checkState({ definition: { name }, from }: Plan): void {
  const vm = from.vms.find((each) => each.definition.name === name);
  if (!vm) {
    const message = `VM ${name} is not to be found on host ${from.name}, where the manager has it. See where it is: sealift vm show ${name}`;
    throw new SealiftError('wrong_state', message);
  }
  if (vm.state === 'running' || vm.state === 'paused') return;
  const off = vm.state === 'stopped' || vm.state === 'crashed';
  const advice = off ? 'only a running VM can be moved, so start it first' : `see what it waits for: sealift vm show ${name}`;
  throw new SealiftError('wrong_state', `VM ${name} is ${vm.state} on host ${from.name}; ${advice}`, { details: { state: vm.state } });
}

function checkDisks({ name, disks }: VmDefinition): void {
  const local = disks.find((disk) => !disk.shared);
  if (!local) return;
  const advice = 'This version moves VMs without disks or with shared ones; moving local disks comes in a later version';
  throw new SealiftError('incompatible', `VM ${name} has a disk that only its host sees, ${local.path}. ${advice}`, {
    details: { disk: local.path },
  });
}

function checkVersions({ definition, from, to, multifdChannels }: Plan): void {
  const refuse = (message: string): never => {
    throw new SealiftError('incompatible', `VM ${definition.name} cannot move from ${from.name} to ${to.name}: ${message}`);
  };
  for (const host of [from, to]) {
    if (host.protocolVersion !== protocolVersion) {
      refuse(
        `${host.name} speaks version ${host.protocolVersion} of sealed channels, this manager ${protocolVersion}; update the older one`,
      );
    }
    // A difference here hangs or crashes QEMU instead of failing.
    if (multifdChannels > 0 && !host.qemu.capabilities.includes('multifd')) {
      refuse(`${host.name}'s QEMU ${host.qemu.version} has no multifd; order it with 0 multifd channels`);
    }
  }
  if (isOlder(to.qemu.version, from.qemu.version)) {
    refuse(`its QEMU ${to.qemu.version} is older than ${from.qemu.version}, and QEMU does not migrate backwards`);
  }
  if (from.qemu.accel !== to.qemu.accel) refuse(`${from.name} runs VMs under ${from.qemu.accel}, ${to.name} under ${to.qemu.accel}`);
}

/** Compares release series, such as 7.2; the fixes within one do not change what is sent. */
export function isOlder(version: string, than: string): boolean {
  const [major, minor] = seriesOf(version);
  const [thanMajor, thanMinor] = seriesOf(than);
  return major < thanMajor || (major === thanMajor && minor < thanMinor);
}

function seriesOf(version: string): [major: number, minor: number] {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return [Number(major ?? 0), Number(minor ?? 0)];
}
