/** A VM in words. Pure but for printing. */
import type { Disk, DiskUse, Vm, VmState, VmStats } from '@sealift/contract';
import { type Io, printJson } from '../output/io.ts';
import { printFields } from '../output/table.ts';
import { formatBytes, formatRate, formatTime } from '../output/units.ts';

export const memoryOf = (vm: Vm): string => formatBytes(vm.definition.memoryMiB * 2 ** 20);

const done: Partial<Record<VmState, string>> = { running: 'runs', stopped: 'is stopped', paused: 'is paused' };

/** How it is after an order. */
export const printVm = (io: Io, vm: Vm): void => {
  if (io.json) printJson(io, vm);
  else io.print(`${vm.name} ${done[vm.state] ?? `is ${vm.state}`} on ${vm.host}`);
};

export const encryptionOf = ({ encryption: { mode, from } }: Vm): string => (from === 'cluster' ? `${mode} (cluster's)` : mode);

const foundOn = ({ host, state, pid }: Vm['found'][number]): string => `${host} (${state}${pid === undefined ? '' : `, pid ${pid}`})`;

const rate = (bytesPerSecond: number): string => formatRate(bytesPerSecond / 1e6);

/** In the order of {@link statsHead}. */
export const statsCells = ({ cpus, residentBytes, diskBytesPerSecond: disk, networkBytesPerSecond: network }: VmStats): string[] => [
  cpus.toFixed(2),
  formatBytes(residentBytes),
  rate(disk.read),
  rate(disk.written),
  rate(network.received),
  rate(network.sent),
];

export const statsHead = ['CPUS', 'RESIDENT', 'DISK READ', 'DISK WRITTEN', 'NET IN', 'NET OUT'];

function diskOf(disk: Disk, use: DiskUse | undefined): string {
  const { format, shared, pool } = disk;
  const origin = pool !== undefined && disk.image !== undefined ? [`${disk.clone ? 'clone' : 'copy'} of ${disk.image}`] : [];
  const traits = [format, ...origin, ...(shared ? ['shared'] : [])].join(', ');
  const what = pool === undefined ? `${disk.path} (${traits})` : `${disk.name} in pool ${pool} (${traits})${use ? ` ${use.path}` : ''}`;
  if (!use) return what;
  if (use.sizeBytes === undefined || use.allocatedBytes === undefined) return `${what}, THE FILE IS NOT THERE`;
  return `${what}, ${formatBytes(use.allocatedBytes)} of ${formatBytes(use.sizeBytes)} allocated`;
}

export function printDetails(io: Io, vm: Vm): void {
  const { definition, stats } = vm;
  printFields(io, {
    name: vm.name,
    host: vm.host,
    state: vm.state,
    PROBLEM: vm.problem,
    'found on': vm.found.map(foundOn).join('; ') || 'no host that answers',
    migration: vm.migration,
    encryption: encryptionOf(vm),
    memory: memoryOf(vm),
    vcpus: definition.vcpus,
    'cpu model': definition.cpuModel,
    machine: definition.machine,
    kernel: definition.kernelBoot?.kernel,
    initrd: definition.kernelBoot?.initrd,
    cmdline: definition.kernelBoot?.cmdline,
    ...Object.fromEntries(definition.disks.map((disk, n) => [`disk ${n}`, diskOf(disk, vm.disks?.[n])])),
    seed: definition.seed && `user-data ${Buffer.byteLength(definition.seed.userData)} bytes`,
    ...Object.fromEntries(definition.nics.map(({ bridge, mac }, n) => [`nic ${n}`, `${bridge} ${mac}`])),
    created: formatTime(vm.createdAt),
    'cpus in use': stats && `${stats.cpus.toFixed(2)} of ${definition.vcpus}`,
    'memory in use': stats && `${formatBytes(stats.residentBytes)} of the host's`,
    'disk traffic': stats && `${rate(stats.diskBytesPerSecond.read)} read, ${rate(stats.diskBytesPerSecond.written)} written`,
    'network traffic': stats && `${rate(stats.networkBytesPerSecond.received)} in, ${rate(stats.networkBytesPerSecond.sent)} out`,
  });
}
