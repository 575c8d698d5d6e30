/** What an agent says of its host. */
import { availableParallelism } from 'node:os';
import type { HostReport } from '@sealift/contract';
import type { Accelerator, QemuCapabilities } from '@sealift/hypervisor';
import type { AgentHost, Attempts } from './attempts.ts';
import { bridges } from './vms/network.ts';
import type { Vm } from './vms/vm.ts';

/** Of sealed channels: docs/protocol.md. */
export const protocolVersion = 1;

export interface QemuFacts {
  readonly capabilities: QemuCapabilities;
  readonly accel: Accelerator;
}

/** With the migration that is moving the VM, where there is one. */
export function reportVm(vm: Vm, attempts: Attempts) {
  const report = vm.report();
  const migration = report.migration ?? attempts.migrationOf(vm.name)?.migration;
  return migration === undefined ? report : { ...report, migration };
}

export async function reportHost(host: AgentHost, attempts: Attempts, qemu: QemuFacts, version: string): Promise<HostReport> {
  const unsafe = [
    ...(host.keylog ? [`the keys of every migration are written to ${host.keylog.file}`] : []),
    ...(host.breakpoints === undefined ? [] : [`migrations are held where files in ${host.breakpoints} say so`]),
  ];
  const [memory, found] = await Promise.all([host.vms.memory(), bridges()]);
  return {
    name: host.identity.name,
    version,
    protocolVersion,
    keyHash: host.identity.keyHash,
    qemu: {
      version: qemu.capabilities.versionText,
      machines: [...qemu.capabilities.machines],
      accel: qemu.accel,
      capabilities: [...qemu.capabilities.migration],
    },
    cpus: availableParallelism(),
    memory,
    bridges: found,
    migrationEndpoints: host.migrationListen.map(({ endpoint }) => endpoint),
    // AES-256-GCM comes with Node.js itself; without it the process would not have got this far.
    canSeal: true,
    ...(unsafe.length > 0 && { unsafe }),
    vms: host.vms.list().map((vm) => reportVm(vm, attempts)),
  };
}
