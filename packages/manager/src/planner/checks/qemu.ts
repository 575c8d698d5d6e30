/** Can the two hosts' QEMUs exchange this VM? */
import { fail, pass, type Reported, type Verdict } from './check.ts';

/** Of sealed channels; this manager makes specs of this version only. */
export const protocolVersion = 1;

export function protocol({ from, to }: Reported): Verdict {
  const other = [from, to].find((host) => host.protocolVersion !== protocolVersion);
  if (!other) return pass(`both hosts and the manager speak version ${protocolVersion} of sealed channels`);
  const reason = `host ${other.name} speaks version ${other.protocolVersion} of sealed channels, this manager ${protocolVersion}`;
  return fail('incompatible', reason, 'update the older one', { host: other.name });
}

/** A difference in capabilities hangs or crashes QEMU instead of failing, so it is looked for beforehand. */
export function qemuVersion({ from, to }: Reported, multifdChannels: number): Verdict {
  if (multifdChannels > 0) {
    const without = [from, to].find((host) => !host.qemu.capabilities.includes('multifd'));
    if (without) {
      const reason = `host ${without.name}'s QEMU ${without.qemu.version} has no multifd`;
      return fail('incompatible', reason, 'order it with 0 multifd channels', { host: without.name });
    }
  }
  const versions = `${from.name} has QEMU ${from.qemu.version}, ${to.name} ${to.qemu.version}`;
  if (!isOlder(to.qemu.version, from.qemu.version)) return pass(versions);
  const reason = `host ${to.name}'s QEMU ${to.qemu.version} is older than ${from.qemu.version} of host ${from.name}, and QEMU does not migrate backwards`;
  return fail('incompatible', reason, `update QEMU on host ${to.name}, or choose a host with ${from.qemu.version} or later`);
}

export function machineType({ vm, to }: Pick<Reported, 'vm' | 'to'>): Verdict {
  const { machines, version } = to.qemu;
  if (machines.includes(vm.machine)) return pass(`host ${to.name}'s QEMU knows machine type ${vm.machine}`);
  const reason = `host ${to.name}'s QEMU ${version} does not know machine type ${vm.machine} of VM ${vm.name}`;
  return fail('incompatible', reason, 'choose a host whose QEMU knows it', { machine: vm.machine });
}

export function accelerator({ from, to }: Reported): Verdict {
  if (from.qemu.accel === to.qemu.accel) return pass(`both hosts run VMs under ${to.qemu.accel}`);
  const reason = `host ${from.name} runs VMs under ${from.qemu.accel}, ${to.name} under ${to.qemu.accel}`;
  return fail('incompatible', reason, `choose a host that runs them under ${from.qemu.accel}`);
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
