/** `sealift vm start|stop|reset|suspend|resume`. */
import type { Vm } from '@sealift/contract';
import type { Command } from 'commander';
import { withManager } from '../context.ts';
import type { Manager } from '../manager/connect.ts';
import { describe, type Manual } from '../manual/manual.ts';
import { printVm } from './render.ts';

interface Button extends Manual {
  readonly description: string;
  readonly press: (manager: Manager, vm: string) => Promise<Vm>;
}

const buttons: Readonly<Record<string, Button>> = {
  start: {
    description: 'power on',
    press: (manager, vm) => manager.startVm({ params: { vm } }),
    about: ['Starts QEMU on the host that the VM is defined on. Refused where another host has a copy that runs or could run.'],
    changes: 'The VM runs.',
    examples: [['sealift vm start web-1', 'power on']],
    exits: [3, 4, 8],
  },
  reset: {
    description: 'reset, as its button does',
    press: (manager, vm) => manager.resetVm({ params: { vm } }),
    about: ['The guest is not asked: what it has not written to its disks is lost. Refused while it is moved.'],
    changes: 'The VM boots again, in the same QEMU on the same host.',
    examples: [['sealift vm reset web-1', 'a guest that hangs']],
    exits: [3, 4, 8],
  },
  suspend: {
    description: 'pause its vCPUs',
    press: (manager, vm) => manager.suspendVm({ params: { vm } }),
    about: ['The VM keeps its memory and its place, and does nothing until it is resumed. A paused VM that is moved arrives paused.'],
    changes: 'The VM is paused.',
    examples: [['sealift vm suspend web-1', 'hold it for a moment']],
    exits: [3, 4, 8],
  },
  resume: {
    description: 'let a paused VM run',
    press: (manager, vm) => manager.resumeVm({ params: { vm } }),
    about: [
      'It goes on where it was. A VM that is paused because a migration is in doubt is not resumed by this: see sealift migration resolve.',
    ],
    changes: 'The VM runs.',
    examples: [['sealift vm resume web-1', 'after vm suspend']],
    exits: [3, 4, 8],
  },
};

export function addPowerCommands(vm: Command): void {
  for (const [name, { description, press, ...manual }] of Object.entries(buttons)) {
    describe(
      vm
        .command(name)
        .argument('<vm>', 'its name')
        .description(description)
        .action((it: string, _options: unknown, command: Command) =>
          withManager(command, async ({ io, manager }) => printVm(io, await press(manager, it))),
        ),
      manual,
    );
  }

  describe(
    vm
      .command('stop')
      .argument('<vm>', 'its name')
      .description('ask the guest to shut down')
      .option('--force', 'do not ask; cut its power', false)
      .action((it: string, { force }: { force: boolean }, command: Command) =>
        withManager(command, async ({ io, manager }) => printVm(io, await manager.stopVm({ params: { vm: it }, body: { force } }))),
      ),
    {
      about: [
        'Presses the power button (ACPI) and waits for the guest to shut down. With --force its power is cut, as by pulling the plug.',
      ],
      changes: 'The VM is off. Its definition and disks stay.',
      examples: [
        ['sealift vm stop web-1', 'ask the guest'],
        ['sealift vm stop web-1 --force', 'where it does not listen; what it has not written is lost'],
      ],
      exits: [3, 4, 8],
    },
  );
}
