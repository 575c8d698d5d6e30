/** `sealift vm set`: other settings in a VM's definition. */
import type { Command } from 'commander';
import { type Context, withManager } from '../context.ts';
import { UsageError } from '../exit-codes.ts';
import { describe } from '../manual/manual.ts';
import { printJson } from '../output/io.ts';
import { changesBetween, changeWords } from './change.ts';
import type { DefinitionOptions } from './definition.ts';
import { addDefinitionOptions } from './definition-options.ts';
import { encryptionOf } from './render.ts';

export function addSetCommand(vm: Command): void {
  describe(
    addDefinitionOptions(vm.command('set').argument('<vm>', 'its name').description("change a VM's definition"), { asks: 'set' }).action(
      (name: string, options: DefinitionOptions, command: Command) => withManager(command, (context) => set(context, name, options)),
    ),
    {
      about: [
        'Changes what is said and leaves the rest of the definition as it is. The encryption mode may be changed at any time, everything else ' +
          'while the VM is off.',
        'Encryption modes: required moves the VM only between hosts that can seal, opportunistic seals wherever both hosts can and otherwise ' +
          "moves it in the clear and says so, disabled moves it in the clear, default is the cluster's.",
      ],
      changes: 'The definition. The encryption mode holds for migrations that are ordered from now on; one that runs goes on as it began.',
      examples: [
        ['sealift vm set web-1 --encryption required', 'never in the clear'],
        ['sealift vm set web-1 --encryption default', 'as the cluster says'],
        ['sealift vm set web-1 --memory 4096 --vcpus 4', 'while it is off'],
      ],
      exits: [3, 4],
    },
  );
}

async function set({ io, manager }: Context, name: string, options: DefinitionOptions): Promise<void> {
  if (Object.keys(options).length === 0)
    throw new UsageError('say what is to change, such as --encryption required; see sealift vm set --help');
  const { definitionOver } = await import('./definition.ts');
  const known = await manager.getVm({ params: { vm: name } });
  const definition = definitionOver(name, known.definition, options);
  const changes = changesBetween(known.definition, definition);
  const now = changes.length === 0 ? known : await manager.changeVm({ params: { vm: name }, body: definition });
  if (io.json) return printJson(io, now);
  io.print(changes.length === 0 ? `${name} unchanged` : `${name} changed`);
  for (const change of changes) io.print(`  ${changeWords(change)}`);
  if (options.encryption !== undefined) io.print(`Its migrations are now ${encryptionOf(now)}`);
}
