/** `sealift vm …`: defining, looking and the console. What else there is, is beside this; migrate is in migration/. */
import type { Host, Vm, VmRemoval } from '@sealift/contract';
import type { Command } from 'commander';
import { type Context, withManager } from '../context.ts';
import { behind, collected } from '../manager/pages.ts';
import { describe } from '../manual/manual.ts';
import { printJson } from '../output/io.ts';
import { printList } from '../output/table.ts';
import { addApplyCommand } from './apply.ts';
import type { DefinitionOptions } from './definition.ts';
import { addDefinitionOptions } from './definition-options.ts';
import { addPowerCommands } from './power.ts';
import { encryptionOf, memoryOf, printDetails } from './render.ts';
import { addSetCommand } from './set.ts';
import { addStatsCommand } from './stats.ts';

type CreateOptions = DefinitionOptions & { readonly host: string; readonly file?: string };

export function addVmCommands(vm: Command): void {
  addCreateCommand(vm);
  addApplyCommand(vm);
  addSetCommand(vm);
  addPowerCommands(vm);
  addRemoveCommand(vm);
  addListCommand(vm);
  addShowCommand(vm);
  addStatsCommand(vm);
  addConsoleCommand(vm);
}

function addCreateCommand(vm: Command): void {
  const create = vm
    .command('create')
    .argument('<name>', 'what to call it: lower-case letters, digits and hyphens')
    .description('define a VM on a host; it stays off until it is started')
    .requiredOption('--host <host>', 'where it is to live')
    .option('-f, --file <file>', 'take the definition from a file, JSON or YAML ("-" is standard input); options go before it');
  describe(
    addDefinitionOptions(create, { asks: 'create' }).action(async (name: string, options: CreateOptions, command: Command) => {
      const { definitionOf } = await import('./definition.ts');
      const definition = await definitionOf(name, options);
      await withManager(command, async ({ io, manager }) => {
        const created = await manager.createVm({ body: { host: options.host, definition } });
        if (io.json) printJson(io, created);
        else io.print(`${name} is defined on ${created.host}; start it with: sealift vm start ${name}`);
      });
    }),
    {
      about: [
        "Defines a VM from options, over a file where one is named. What neither says is the default; the encryption mode is the cluster's. " +
          'For files with several VMs, and for changing what is there, see vm apply.',
        'A disk in a pool is blank, a copy of an image of that pool, or with "clone" a copy-on-write clone, which holds only what is different from its ' +
          'image. It is qcow2 where nothing else is said; without a size it is as large as its image; the only one may go without a name. ' +
          'A seed is a small read-only volume, label cidata, that the VM has while it is on: cloud-init reads it (NoCloud).',
      ],
      changes:
        'The VM is there, off. Disks that it has in pools are made, all or none; what it has by a path, and kernels, are files that the host has already.',
      examples: [
        [
          'sealift vm create db-1 --host alpha --disk pool=default,size=20Gi,image=debian-12.qcow2,clone --user-data me.yaml',
          'from a cloud image',
        ],
        ['sealift vm create web-1 --host alpha --memory 2048 --disk /var/lib/vms/web-1.qcow2 --nic lan', 'from options'],
        ['sealift vm create web-2 --host alpha -f web.yaml --vcpus 4', 'from a file, with more CPUs'],
      ],
      exits: [3, 4, 8],
    },
  );
}

function addRemoveCommand(vm: Command): void {
  describe(
    vm
      .command('rm')
      .argument('<vm>', 'its name')
      .description('forget a stopped VM, and remove the disks that it has in pools')
      .option('--keep-disks', 'leave these disks as files')
      .action((name: string, { keepDisks }: { keepDisks?: boolean }, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const removal = await manager.removeVm({ params: { vm: name }, ...(keepDisks && { query: { keepDisks } }) });
          if (io.json) printJson(io, removal);
          else io.print(`${name} is removed; ${removalWords(removal)}`);
        }),
      ),
    {
      about: [
        'Takes the definition away from the manager and from the host, and with it the disks that were made for the VM in pools. Never an image, and ' +
          'never what the VM has by a path. Refused while the VM is on, or is moved.',
      ],
      changes: 'The definition is gone, and what is on the disks that it has in pools; it says which. With --keep-disks they stay.',
      examples: [
        ['sealift vm rm web-1', 'after vm stop'],
        ['sealift vm rm web-1 --keep-disks', 'its disks may be used by their paths afterwards'],
      ],
      exits: [3, 4],
    },
  );
}

function removalWords({ removedDisks = [], keptDisks = [] }: VmRemoval): string {
  if (removedDisks.length > 0) return `so ${removedDisks.length > 1 ? 'are its disks' : 'is its disk'} ${removedDisks.join(', ')}`;
  return keptDisks.length > 0 ? `left where they are: ${keptDisks.join(', ')}` : 'its disks are left as they are';
}

function addListCommand(vm: Command): void {
  describe(
    vm
      .command('ls')
      .description('list all VMs')
      .option('--host <host>', 'only VMs of this host')
      .action(({ host }: { host?: string }, command: Command) => withManager(command, (context) => list(context, host))),
    {
      about: [
        'Every VM with its host, its state and the encryption mode that holds for its migrations. One that does not fit what hosts say is marked ' +
          'with (!), and what is wrong is said below the list, on standard error.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift vm ls', 'all of them'],
        ['sealift vm ls --host alpha --json', 'those of a host, as an array'],
      ],
    },
  );
}

async function list({ io, manager }: Context, host: string | undefined): Promise<void> {
  const [vms, hosts] = await Promise.all([
    collected<Vm>((limit, last) => manager.listVms({ query: { limit, ...(host && { host }), ...behind(last) } })),
    io.json ? [] : collected<Host>((limit, last) => manager.listHosts({ query: { limit, ...behind(last) } })),
  ]);
  await printList(io, vms, {
    head: ['NAME', 'HOST', 'STATE', 'MEMORY', 'VCPUS', 'ENCRYPTION'],
    row: (each) => [
      each.name,
      each.host,
      each.problem === undefined ? each.state : `${each.state} (!)`,
      memoryOf(each),
      each.definition.vcpus,
      encryptionOf(each),
    ],
    empty: host ? `There is no VM on ${host}.` : 'There are no VMs; define one with: sealift vm create NAME --host HOST',
  });
  if (io.json) return;
  for (const { problem } of vms) if (problem !== undefined) io.note(`(!) ${problem}`);
  for (const { name, unknownVms = [] } of hosts) {
    if (unknownVms.length > 0) io.note(`(!) host ${name} has VMs that the manager does not know: ${unknownVms.join(', ')}`);
  }
}

function addShowCommand(vm: Command): void {
  describe(
    vm
      .command('show')
      .argument('<vm>', 'its name')
      .description('one VM with its definition and what it uses')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const it = await manager.getVm({ params: { vm: name } });
          if (io.json) printJson(io, it);
          else printDetails(io, it);
        }),
      ),
    {
      about: [
        'Shows where it is and in which state, its definition, the encryption mode that holds and whether it is its own or its cluster’s, and what it uses.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift vm show web-1', 'all that is known of it'],
        ['sealift vm show web-1 --json', 'with the definition as vm apply takes it'],
      ],
      exits: [3],
    },
  );
}

function addConsoleCommand(vm: Command): void {
  describe(
    vm
      .command('console')
      .argument('<vm>', 'its name')
      .description('its serial console; leave with Ctrl-]')
      .action((name: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, address }) => {
          const { openConsole } = await import('./console.ts');
          await openConsole(address, name, io);
        }),
      ),
    {
      about: [
        'Joins this terminal to the first serial port of the VM. Where input is no terminal, bytes are passed as they are, until Ctrl-C.',
      ],
      changes: 'Nothing but what is typed to the guest.',
      examples: [['sealift vm console web-1', 'leave with Ctrl-]']],
      exits: [3, 4],
    },
  );
}
