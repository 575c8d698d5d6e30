/** `sealift vm …` but for migrate, which is in migration/. */
import type { Vm, VmState } from '@sealift/contract';
import { type Command, Option } from 'commander';
import { withManager } from '../context.ts';
import { collect, wholeNumber } from '../options.ts';
import { type Io, printJson } from '../output/io.ts';
import { printFields, printList } from '../output/table.ts';
import { formatBytes, formatTime } from '../output/units.ts';
import type { CreateOptions } from './definition.ts';

const memory = (vm: Vm): string => formatBytes(vm.definition.memoryMiB * 2 ** 20);

const done: Partial<Record<VmState, string>> = { running: 'runs', stopped: 'is stopped', paused: 'is paused' };

const printVm = (io: Io, vm: Vm): void => {
  if (io.json) printJson(io, vm);
  else io.print(`${vm.name} ${done[vm.state] ?? `is ${vm.state}`} on ${vm.host}`);
};

export function addVmCommands(vm: Command): void {
  vm.command('create <name>')
    .description('define a VM on a host; it stays off until it is started')
    .requiredOption('--host <host>', 'where it is to live')
    .option('-f, --file <definition.json>', 'take the definition from a file ("-" is standard input); options go before it')
    .option('--memory <MiB>', 'memory (default: 512)', wholeNumber)
    .option('--vcpus <n>', 'virtual CPUs (default: 1)', wholeNumber)
    .option('--cpu-model <model>', "QEMU's -cpu; the same on every host it may move to")
    .option('--machine <type>', "QEMU's versioned machine type, such as pc-q35-7.2")
    .option('--kernel <path>', 'boot this kernel of the host directly')
    .option('--initrd <path>', 'with this initial RAM disk')
    .option('--cmdline <text>', 'and this command line')
    .option('--disk <path[,format=raw|qcow2][,shared]>', 'a disk image of the host; repeatable', collect)
    .option('--nic <bridge[,mac=address]>', 'a network card on a bridge of the host; repeatable. Its MAC follows from the name', collect)
    .addOption(new Option('--encryption <mode>', 'of its migrations').choices(['disabled', 'opportunistic', 'required']))
    .action(async (name: string, options: CreateOptions & { host: string }, command: Command) => {
      const { definitionOf } = await import('./definition.ts');
      const definition = await definitionOf(name, options);
      await withManager(command, async ({ io, manager }) => {
        const created = await manager.createVm({ body: { host: options.host, definition } });
        if (io.json) printJson(io, created);
        else io.print(`${name} is defined on ${created.host}; start it with: sealift vm start ${name}`);
      });
    });

  vm.command('start <name>')
    .description('power on')
    .action((name: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => printVm(io, await manager.startVm({ params: { vm: name } }))),
    );

  vm.command('stop <name>')
    .description('ask the guest to shut down')
    .option('--force', 'do not ask; cut its power', false)
    .action((name: string, { force }: { force: boolean }, command: Command) =>
      withManager(command, async ({ io, manager }) => printVm(io, await manager.stopVm({ params: { vm: name }, body: { force } }))),
    );

  vm.command('rm <name>')
    .description('forget a stopped VM; its disks stay')
    .action((name: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        await manager.removeVm({ params: { vm: name } });
        if (io.json) printJson(io, {});
        else io.print(`${name} is removed; its disks are left as they are`);
      }),
    );

  vm.command('ls')
    .description('list all VMs')
    .action((_options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        const [vms, hosts] = await Promise.all([manager.listVms(), io.json ? [] : manager.listHosts()]);
        await printList(io, vms, {
          head: ['NAME', 'HOST', 'STATE', 'MEMORY', 'VCPUS', 'ENCRYPTION'],
          row: (each) => [
            each.name,
            each.host,
            each.problem === undefined ? each.state : `${each.state} (!)`,
            memory(each),
            each.definition.vcpus,
            each.definition.encryption,
          ],
          empty: 'There are no VMs; define one with: sealift vm create NAME --host HOST',
        });
        if (io.json) return;
        for (const { problem } of vms) if (problem !== undefined) io.note(`(!) ${problem}`);
        for (const { name: host, unknownVms = [] } of hosts) {
          if (unknownVms.length > 0) io.note(`(!) host ${host} has VMs that the manager does not know: ${unknownVms.join(', ')}`);
        }
      }),
    );

  vm.command('show <name>')
    .description('one VM with its definition')
    .action((name: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, manager }) => {
        const it = await manager.getVm({ params: { vm: name } });
        if (io.json) printJson(io, it);
        else printDetails(io, it);
      }),
    );

  vm.command('console <name>')
    .description('its serial console; leave with Ctrl-]')
    .action((name: string, _options: unknown, command: Command) =>
      withManager(command, async ({ io, address }) => {
        const { openConsole } = await import('./console.ts');
        await openConsole(address, name, io);
      }),
    );
}

const foundOn = ({ host, state, pid }: Vm['found'][number]): string => `${host} (${state}${pid === undefined ? '' : `, pid ${pid}`})`;

function printDetails(io: Io, vm: Vm): void {
  const { definition } = vm;
  printFields(io, {
    name: vm.name,
    host: vm.host,
    state: vm.state,
    PROBLEM: vm.problem,
    'found on': vm.found.map(foundOn).join('; ') || 'no host that answers',
    migration: vm.migration,
    encryption: definition.encryption,
    memory: memory(vm),
    vcpus: definition.vcpus,
    'cpu model': definition.cpuModel,
    machine: definition.machine,
    kernel: definition.kernelBoot?.kernel,
    initrd: definition.kernelBoot?.initrd,
    cmdline: definition.kernelBoot?.cmdline,
    ...Object.fromEntries(
      definition.disks.map(({ path, format, shared }, n) => [`disk ${n}`, `${path} (${format}${shared ? ', shared' : ''})`]),
    ),
    ...Object.fromEntries(definition.nics.map(({ bridge, mac }, n) => [`nic ${n}`, `${bridge} ${mac}`])),
    created: formatTime(vm.createdAt),
  });
}
