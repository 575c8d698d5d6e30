/** `sealift vm apply`: makes VMs what a file says. Everything is checked before anything is done. */
import type { Command } from 'commander';
import { type Context, withManager } from '../context.ts';
import type { Complaint } from '../exit-codes.ts';
import { describe } from '../manual/manual.ts';
import { printJson } from '../output/io.ts';
import { type Change, changesBetween, changeWords, whileOn } from './change.ts';
import type { Wanted } from './wanted.ts';

interface ApplyOptions {
  readonly file: string;
  readonly host?: string;
  readonly dryRun?: boolean;
}

export function addApplyCommand(vm: Command): void {
  describe(
    vm
      .command('apply')
      .description('make VMs what a file says: create those that are not there, change those that differ')
      .requiredOption('-f, --file <file>', 'JSON, or YAML with any number of documents ("-" is standard input)')
      .option('--host <host>', 'where to create VMs whose document names no host')
      .option('--dry-run', 'change nothing; say what would be done')
      .action((options: ApplyOptions, command: Command) => withManager(command, (context) => apply(context, options))),
    {
      about: [
        'Each document is the definition of one VM (the fields of vm show --json, "definition"), with "host" beside them: where it is created. ' +
          'It is the whole definition: what is left out becomes the default, an encryption mode that is left out the ' +
          "cluster's. MAC addresses may be left out; they stay as they are, or follow from the VM's name.",
        'A disk is { path, format } for a file of the host, or one that is made in a pool, such as { pool: default, name: root, size: 20Gi, ' +
          'image: debian-12.qcow2, clone: true }; a seed for cloud-init is seed: { userData, metaData, networkConfig }. ' +
          'Disks that a VM has in a pool only now are made; files of those that it has there no more are left; one that is there stays as it was made.',
        'Documents are all checked before the first VM is touched. Then they are applied in their order; one that is refused does not keep the ' +
          'others back, and the exit status is that of the first refusal. Applying a file twice changes nothing the second time.',
        'A VM that is already there is not moved to the host of its document: that is what vm migrate is for.',
      ],
      changes:
        'VMs that are not there are created and stay off. Definitions of VMs that are off are changed; of a VM that is on, only the encryption ' +
        'mode. VMs that are not in the file are left alone. With --dry-run: nothing.',
      examples: [
        ['sealift vm apply -f web.yaml', 'create or change what it describes'],
        ['sealift vm apply -f web.yaml --dry-run', 'what that would do; status 4 where something would be refused'],
        ['sealift vm apply -f - --host alpha --json', 'from standard input, with the outcome as an array'],
      ],
      exits: [3, 4, 8],
    },
  );
}

interface Outcome {
  readonly vm: string;
  readonly outcome: 'created' | 'changed' | 'unchanged' | 'refused';
  readonly host?: string;
  readonly changes: readonly Change[];
  readonly error?: Complaint['body']['error'];
}

async function apply({ io, manager }: Context, { file, host, dryRun = false }: ApplyOptions): Promise<void> {
  const [{ readDocuments }, { wantedOf }, { AlreadyTold, codeOf }] = await Promise.all([
    import('./documents.ts'),
    import('./wanted.ts'),
    import('../endings.ts'),
  ]);
  const wanted = await wantedOf(await readDocuments(file), host, manager);
  const outcomes: Outcome[] = [];
  for (const each of wanted) {
    const outcome = await (dryRun ? predict(each) : carryOut(manager, each));
    outcomes.push(outcome);
    if (!io.json) for (const line of lines(outcome, each, dryRun)) (outcome.outcome === 'refused' ? io.note : io.print)(line);
  }
  if (io.json) printJson(io, outcomes);
  const error = outcomes.find((each) => each.error)?.error;
  if (error) throw new AlreadyTold(codeOf(error), error.message);
}

async function carryOut(manager: Context['manager'], { host = '', definition, known }: Wanted): Promise<Outcome> {
  const vm = definition.name;
  const changes = known ? changesBetween(known.definition, definition) : [];
  try {
    if (!known) {
      const created = await manager.createVm({ body: { host, definition } });
      return { vm, outcome: 'created', host: created.host, changes };
    }
    if (changes.length === 0) return { vm, outcome: 'unchanged', host: known.host, changes };
    await manager.changeVm({ params: { vm }, body: definition });
    return { vm, outcome: 'changed', host: known.host, changes };
  } catch (error) {
    const { complaintOf } = await import('../exit-codes.ts');
    const { body } = await complaintOf(error);
    if (body.error.code === 'manager_unreachable' || body.error.code === 'internal') throw error; // nothing that the next one would be spared
    return { vm, outcome: 'refused', changes, error: body.error };
  }
}

function predict({ host, definition, known }: Wanted): Outcome {
  const vm = definition.name;
  if (!known) return { vm, outcome: 'created', ...(host && { host }), changes: [] };
  const changes = changesBetween(known.definition, definition);
  const there = { vm, host: known.host, changes };
  const off = known.state === 'stopped' || known.state === 'crashed';
  if (off || changes.every(whileOn)) return { ...there, outcome: changes.length === 0 ? 'unchanged' : 'changed' };
  const message = `VM ${vm} is ${known.state} on ${known.host}; it must be off to be changed beyond its encryption mode: sealift vm stop ${vm}`;
  return { ...there, outcome: 'refused', error: { code: 'wrong_state', message } };
}

function lines({ vm, outcome, host, changes, error }: Outcome, { host: wanted, known }: Wanted, dryRun: boolean): string[] {
  const would = dryRun ? 'would be ' : '';
  const elsewhere =
    known && wanted !== undefined && wanted !== known.host ? [`  it stays on ${known.host}; move it with: sealift vm migrate`] : [];
  const what = changes.map((change) => `  ${changeWords(change)}`);
  switch (outcome) {
    case 'refused':
      return [`${vm} ${dryRun ? 'would be' : 'is'} REFUSED: ${error?.message}`, ...what];
    case 'unchanged':
      return [`${vm} unchanged`, ...elsewhere];
    case 'created':
      return [`${vm} ${would}created on ${host}`];
    case 'changed':
      return [`${vm} ${would}changed`, ...what, ...elsewhere];
  }
}
