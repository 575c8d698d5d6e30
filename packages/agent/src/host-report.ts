/** What an agent says of its host. */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { AgentVm, HostReport } from '@sealift/contract';
import type { Accelerator, QemuCapabilities } from '@sealift/hypervisor';
import type { AgentHost, Attempts } from './attempts.ts';
import type { DiskWatch } from './disks/watch.ts';
import type { AdoptedVms } from './observe/adopted.ts';
import type { HostLoad } from './observe/host-load.ts';
import { interfacesOf, linkMbps } from './observe/links.ts';
import type { VmWatch } from './observe/vm-stats.ts';
import { bridges } from './vms/network.ts';
import type { Vm } from './vms/vm.ts';

/** Of sealed channels: docs/protocol.md. */
export const protocolVersion = 1;

export interface QemuFacts {
  /** Asked with {@link accel}. */
  readonly capabilities: QemuCapabilities;
  readonly accel: Accelerator;
}

/** Of the host's CPU, from /proc/cpuinfo. */
export interface CpuFacts {
  readonly model: string;
  readonly aesInstructions: boolean;
}

export const readCpuFacts = async (): Promise<CpuFacts> => parseCpuInfo(await readFile('/proc/cpuinfo', 'utf8'));

/** x86 lists `flags` and a `model name`, ARM lists `Features`. */
export const parseCpuInfo = (text: string): CpuFacts => ({
  model: /^model name\s*:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? 'unknown',
  aesInstructions: /^(flags|Features)\s*:.*\baes\b/m.test(text),
});

/** What is looked at now and then. */
export interface Observed {
  readonly load: HostLoad;
  readonly watch: VmWatch;
  readonly adopted: AdoptedVms;
  readonly disks?: DiskWatch;
}

/** Why a host with `--no-seal` seals nothing; it goes into reports and refusals. */
export const noSealReason = (host: string): string => `the agent of ${host} was started with --no-seal`;

export class HostReporter {
  readonly adopted: AdoptedVms;
  readonly #host: AgentHost;
  readonly #attempts: Attempts;
  readonly #observed: Observed;
  readonly #same: Pick<HostReport, 'name' | 'version' | 'protocolVersion' | 'keyHash' | 'qemu' | 'cpus' | 'cpu' | 'aesInstructions'>;

  constructor(host: AgentHost, attempts: Attempts, observed: Observed, facts: { qemu: QemuFacts; cpu: CpuFacts; version: string }) {
    this.#host = host;
    this.#attempts = attempts;
    this.#observed = observed;
    this.adopted = observed.adopted;
    const { capabilities, accel } = facts.qemu;
    this.#same = {
      name: host.identity.name,
      version: facts.version,
      protocolVersion,
      keyHash: host.identity.keyHash,
      qemu: {
        version: capabilities.versionText,
        machines: [...capabilities.machines],
        accel,
        capabilities: [...capabilities.migration],
      },
      cpus: availableParallelism(),
      aesInstructions: facts.cpu.aesInstructions,
      cpu: {
        model: facts.cpu.model,
        usable: capabilities.cpuModels.filter((model) => !capabilities.missingCpuFeatures.has(model)),
        missing: Object.fromEntries([...capabilities.missingCpuFeatures].map(([model, features]) => [model, [...features]])),
      },
    };
  }

  /** With the migration that is moving the VM, where there is one. */
  vm(vm: Vm): AgentVm {
    const report = { ...vm.report(), ...this.#observed.watch.of(vm), ...this.#observed.disks?.of(vm) };
    const migration = report.migration ?? this.#attempts.migrationOf(vm.name)?.migration;
    return migration === undefined ? report : { ...report, migration };
  }

  /** As {@link vm}, of one whose disks were just made. */
  async newVm(vm: Vm): Promise<AgentVm> {
    await this.#observed.disks?.lookAt(vm).catch(() => {}); // this host has lost a pool: starting it says so
    return this.vm(vm);
  }

  /** Another one as soon as a VM has come or gone or is in another state; figures aside. */
  revision(): string {
    const own = this.#host.vms.list().map((vm) => [vm.name, vm.state, vm.pid, this.#attempts.migrationOf(vm.name)?.migration]);
    const adopted = this.adopted.list().map(({ definition, state, pid }) => [definition.name, state, pid]);
    return hash('sha256', JSON.stringify([own, adopted])).slice(0, 16);
  }

  async report(): Promise<HostReport> {
    const host = this.#host;
    const unsafe = [
      ...(host.keylog ? [`the keys of every migration are written to ${host.keylog.file}`] : []),
      ...(host.breakpoints === undefined ? [] : [`migrations are held where files in ${host.breakpoints} say so`]),
    ];
    const links = interfacesOf(host.migrationListen.map((address) => address.host));
    const [memory, found, mbps] = await Promise.all([host.vms.memory(), bridges(), linkMbps(links)]);
    const { load } = this.#observed.load;
    return {
      ...this.#same,
      memory,
      bridges: found,
      migrationEndpoints: host.migrationListen.map(({ endpoint }) => endpoint),
      // AES-256-GCM comes with Node.js itself; without it the process would not have got this far.
      canSeal: !host.noSeal,
      ...(host.noSeal && { cannotSealBecause: noSealReason(host.identity.name) }),
      ...(load && { load }),
      ...(mbps !== undefined && { linkMbps: mbps }),
      ...(this.#observed.disks && { pools: this.#observed.disks.pools }),
      ...(unsafe.length > 0 && { unsafe }),
      vms: [...host.vms.list().map((vm) => this.vm(vm)), ...this.adopted.list()],
    };
  }
}
