/** `sealift image …`: what disks in pools are made from. */
import { type Command, Option } from 'commander';
import { withManager } from '../context.ts';
import { describe } from '../manual/manual.ts';
import { printJson } from '../output/io.ts';
import { printList } from '../output/table.ts';
import { formatBytes } from '../output/units.ts';

interface ImportOptions {
  readonly host: string;
  readonly pool: string;
  readonly name?: string;
  readonly format?: 'raw' | 'qcow2';
}

export function addImageCommands(image: Command): void {
  addListCommand(image);
  addImportCommand(image);
  addRemoveCommand(image);
}

function addListCommand(image: Command): void {
  describe(
    image
      .command('ls')
      .description("list the images of a host's pools")
      .requiredOption('--host <host>', 'whose')
      .action(({ host }: { host: string }, command: Command) =>
        withManager(command, async ({ io, manager }) =>
          printList(io, await manager.listImages({ params: { host } }), {
            head: ['POOL', 'NAME', 'FORMAT', 'SIZE', 'ALLOCATED', 'USED BY'],
            row: ({ pool, name, format, sizeBytes, allocatedBytes, usedBy }) => [
              pool,
              name,
              format,
              formatBytes(sizeBytes),
              formatBytes(allocatedBytes),
              usedBy.join(' ') || '-',
            ],
            empty: `Host ${host} has no images; bring one in with: sealift image import PATH --host ${host}`,
          }),
        ),
      ),
    {
      about: [
        'An image is a file in images/ of a pool: what whoever looks after the host has put there, and what image import has. It is qcow2 where its ' +
          'name ends in .qcow2 and raw otherwise, whatever is in it. Of each the files are named that are clones of it, and would be lost with it.',
      ],
      changes: 'Nothing.',
      examples: [['sealift image ls --host alpha', 'what VMs on alpha can be made from']],
      exits: [3],
    },
  );
}

function addImportCommand(image: Command): void {
  describe(
    image
      .command('import')
      .argument('<path>', 'a file of the host, absolute')
      .description('copy a file of a host into one of its pools, as an image')
      .requiredOption('--host <host>', 'which host')
      .option('--pool <pool>', 'which of its pools', 'default')
      .option('--name <name>', "what to call it; one that ends in .qcow2 is stored as qcow2, any other as raw (default: the file's name)")
      .addOption(new Option('--format <format>', 'of the file (default: by what its name ends in)').choices(['raw', 'qcow2']))
      .action((path: string, { host, pool, name, format }: ImportOptions, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const body = { pool, name: name ?? path.replace(/^.*\//, ''), path, ...(format && { format }) };
          const made = await manager.importImage({ params: { host }, body });
          if (io.json) printJson(io, made);
          else io.print(`${made.name} (${made.format}, ${formatBytes(made.sizeBytes)}) is an image in pool ${pool} of ${host}`);
        }),
      ),
    {
      about: [
        "The host's agent reads the file, and all that it lies over, and writes it into the pool anew, whole or not at all. The file must be on the " +
          'host already: copy it there first, with scp, say.',
      ],
      changes: 'The pool has one image more. The file stays as it is.',
      examples: [
        ['sealift image import /root/debian-12-generic-amd64.qcow2 --host alpha --name debian-12.qcow2', 'a cloud image'],
        ['sealift image import /root/data.img --host alpha --pool fast --format raw --name data.qcow2', 'from raw to qcow2'],
      ],
      exits: [3, 4, 8],
    },
  );
}

function addRemoveCommand(image: Command): void {
  describe(
    image
      .command('rm')
      .argument('<image>', 'its name')
      .description('remove an image that no clone needs')
      .requiredOption('--host <host>', 'which host has it')
      .option('--pool <pool>', 'in which of its pools', 'default')
      .action((name: string, { host, pool }: { host: string; pool: string }, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          await manager.removeImage({ params: { host, pool, image: name } });
          if (io.json) printJson(io, {});
          else io.print(`${name} is removed from pool ${pool} of ${host}`);
        }),
      ),
    {
      about: [
        'Refused, with their names, while there are disks that were cloned from it: they hold only what is different. Disks that were copied from it ' +
          'do not need it.',
      ],
      changes: 'The file of the image is gone.',
      examples: [['sealift image rm debian-11.qcow2 --host alpha', 'one that nobody uses any more']],
      exits: [3, 4],
    },
  );
}
