/** `sealift migration resolve`: an administrator decides whose copy is the VM. What that risks is said before, and a person types the VM's name. */
import type { Host, Keep, Migration, Vm } from '@sealift/contract';
import { type Command, Option } from 'commander';
import { type Context, withManager } from '../context.ts';
import { UsageError } from '../exit-codes.ts';
import { unlessUnknown } from '../manager/unless-unknown.ts';
import { describe } from '../manual/manual.ts';
import { type Io, printJson } from '../output/io.ts';
import { formatTime } from '../output/units.ts';
import { resolutionLines, riskLines, standingLine } from './resolution-words.ts';

interface ResolveOptions {
  readonly keep: Keep;
  readonly yesIAmSure?: boolean;
}

export function addResolveCommand(migration: Command): void {
  const resolving = migration
    .command('resolve')
    .argument('<migration>', 'its id')
    .description('decide whose copy is the VM, where a migration is in doubt and a host is gone for good')
    .addOption(
      new Option('--keep <side>', 'whose copy is the VM from now on; the other one is given up, also when its host comes back later')
        .choices(['source', 'destination'])
        .makeOptionMandatory(),
    )
    .option('--yes-i-am-sure', "do not ask for the VM's name")
    .action((id: string, options: ResolveOptions, command: Command) => withManager(command, (context) => resolve(context, id, options)));
  describe(resolving, {
    about: [
      'For an administrator, where a VM is in doubt and a host will not come back: it settles by itself as soon as both hosts answer. What the ' +
        "decision risks is said before anything is done, and the VM's name has to be typed. docs/operations.md says when to use it.",
    ],
    changes:
      'One copy is the VM, the other is destroyed, now or as soon as its host answers. What the destroyed copy did is lost. It cannot be taken back.',
    examples: [
      ['sealift migration resolve 0190d3a2-7c1e-7a90-8f10-0123456789ab --keep source', 'the destination is gone, and is switched off'],
      ['sealift migration resolve 0190d3a2-7c1e-7a90-8f10-0123456789ab --keep destination --yes-i-am-sure', 'in a script'],
    ],
    exits: [3, 4],
  });
}

async function resolve({ io, manager }: Context, id: string, { keep, yesIAmSure = false }: ResolveOptions): Promise<void> {
  const it = await manager.getMigration({ params: { migration: id } });
  if (it.endedAt === undefined || it.resolution) {
    const sides = [it.from, it.to].map((host) => manager.getHost({ params: { host } }).catch(unlessUnknown));
    const [source, destination] = await Promise.all(sides);
    const vm = await manager.getVm({ params: { vm: it.vm } }).catch(unlessUnknown);
    if (!(io.json && yesIAmSure)) explain(io, it, keep, { source, destination, vm });
    if (!yesIAmSure) await demandName(it.vm);
  }
  const decided = await manager.resolveMigration({ params: { migration: id }, body: { keep, confirm: it.vm } });
  if (io.json) printJson(io, decided);
  else for (const line of resolutionLines(decided)) io.print(line);
}

interface Standing {
  readonly source: Host | undefined;
  readonly destination: Host | undefined;
  readonly vm: Vm | undefined;
}

function explain(io: Io, it: Migration, keep: Keep, { source, destination, vm }: Standing): void {
  io.note(`VM ${it.vm}: migration ${it.id} from ${it.from} to ${it.to}, ${it.phase}, ordered ${formatTime(it.orderedAt)}`);
  io.note(`  source       ${standingLine(it.from, source, it.vm)}`);
  io.note(`  destination  ${standingLine(it.to, destination, it.vm)}`);
  if (vm?.problem !== undefined) io.note(`  ${vm.problem}`);
  io.note('');
  for (const line of riskLines(it, keep, { source, destination })) io.note(line);
  io.note('');
}

/** @throws UsageError where it is not typed; nothing has been done then */
async function demandName(vm: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new UsageError(`nothing was done: without a terminal the VM's name cannot be asked for. Where you are sure, add --yes-i-am-sure`);
  }
  const { createInterface } = await import('node:readline/promises');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const left = Promise.withResolvers<string>();
  terminal.once('close', () => left.resolve(''));
  try {
    const typed = await Promise.race([terminal.question(`Type the VM's name to decide so, or anything else to leave: `), left.promise]);
    if (typed.trim() !== vm) throw new UsageError(`nothing was done: the name that was typed is not ${vm}`);
  } finally {
    terminal.close();
  }
}
