/**
 * Builds the database's guest: a Debian kernel and a small initramfs, which mounts two disks and runs PostgreSQL from them. The disks are ext4, made
 * from folders by `mkfs.ext4 -d`, with a database that was made on this machine: nothing is mounted, and nothing is done under emulation.
 */
import { cp, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addBase, addKernelAndInitramfs, addPowerButton, addPrograms, buildOnce, install } from '../guest/assemble.ts';
import type { GuestImage } from '../guest/image.ts';
import { run } from '../system/command.ts';
import { databaseName, Programs, superuser } from './programs.ts';
import { diskMiB, guestPrograms, hostPrograms, modules, packages, postgresUser, programFolder, settings } from './recipe.ts';

export interface DatabaseImage extends GuestImage {
  /** Raw files that are not to be written to: programs and tables, and the write-ahead log. In that order they are the guest's disks. */
  readonly disks: readonly [string, string];
  readonly programs: Programs;
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const diskNames = ['tables.raw', 'log.raw'] as const;
const shared = 'usr/share/postgresql/15';
const extensions = 'usr/lib/postgresql/15/lib';

/** The image for what Debian has now, built where it is not in the cache yet. @param say is told what takes time */
export const databaseImage = async (say: (message: string) => void, cache?: string): Promise<DatabaseImage> => {
  const sources = ['init', 'power-off', 'schema.sql', 'image.ts', 'programs.ts', 'recipe.ts'].map(here);
  const folder = await buildOnce({ what: 'database image', packages, sources, assemble }, say, cache);
  const [tables, log] = diskNames;
  return {
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.gz'),
    disks: [join(folder, tables), join(folder, log)],
    programs: new Programs(join(folder, 'programs')),
  };
};

const assemble = async (unpacked: string, work: string, image: string): Promise<void> => {
  const [initramfs, disk, wal] = ['initramfs', 'disk', 'wal'].map((name) => join(work, name)) as [string, string, string]; // as many
  await addBase(unpacked, initramfs, here('init'), modules);
  await addPowerButton(initramfs, await readFile(here('power-off'), 'utf8'));
  await addKernelAndInitramfs(unpacked, initramfs, image);

  const programs = join(image, 'programs');
  await addServer(unpacked, programs, hostPrograms);
  await removeCLibrary(programs);
  await mkdir(wal);
  await addServer(unpacked, disk, guestPrograms);
  await install(join(unpacked, 'bin/busybox'), join(disk, 'bin/busybox'), 0o755);
  for (const each of ['dev', 'proc', 'tmp', 'wal']) await mkdir(join(disk, each));
  await mkdir(join(disk, 'etc'));
  await writeFile(join(disk, 'etc/passwd'), `root:x:0:0::/:\npostgres:x:${postgresUser}:${postgresUser}::/:\n`);
  await writeFile(join(disk, 'etc/group'), `root:x:0:\npostgres:x:${postgresUser}:\n`);
  await makeDatabase(new Programs(programs), join(disk, 'data'), join(wal, 'pg_wal'));
  for (const [index, from] of [disk, wal].entries()) await makeDisk(from, join(image, diskNames[index] ?? ''), diskMiB[index] ?? 0);
};

/** Without what compiles queries: it would be most of it. */
const addServer = async (unpacked: string, root: string, programs: readonly string[]): Promise<void> => {
  await addPrograms(
    unpacked,
    root,
    programs.map((program) => join(programFolder, program)),
  );
  for (const folder of [shared, extensions]) {
    const filter = (path: string): boolean => !/\/(man|bitcode|pgxs|llvmjit[^/]*)$/.test(path);
    await cp(join(unpacked, folder), join(root, folder), { recursive: true, filter });
  }
};

/** On this machine, its own goes with its own dynamic linker. */
const removeCLibrary = async (root: string): Promise<void> => {
  const folder = join(root, 'lib/x86_64-linux-gnu');
  const its = /^(ld-linux|lib(c|m|dl|rt|pthread|resolv|util|nsl|anl)\.so)/;
  for (const name of await readdir(folder)) if (its.test(name)) await rm(join(folder, name));
};

/** A database with checksums and with what schema.sql says, whose write-ahead log is elsewhere; in the guest it is `/wal/pg_wal`. */
const makeDatabase = async (programs: Programs, data: string, log: string): Promise<void> => {
  const how = ['--data-checksums', '--no-sync', '--no-instructions', '--locale=C', '--encoding=UTF8', '--auth=trust'];
  await programs.run('initdb', [...how, `--username=${superuser}`, `--waldir=${log}`, '-D', data]);
  await writeFile(join(data, 'pg_hba.conf'), 'local all all trust\nhost all all 0.0.0.0/0 trust\n');
  await writeFile(join(data, 'postgresql.auto.conf'), settings);
  await programs.whileServing(data, async (connection) => {
    const toMaintenance = ['-X', '-q', '-h', connection.host, '-U', superuser, '-d', 'postgres'];
    await programs.run('psql', [...toMaintenance, '-c', `create database ${databaseName}`]);
    await programs.run('psql', [
      '-X',
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
      '-h',
      connection.host,
      '-U',
      superuser,
      '-d',
      databaseName,
      '-f',
      here('schema.sql'),
    ]);
  });
  await rm(join(data, 'pg_wal'));
  await symlink('/wal/pg_wal', join(data, 'pg_wal'));
  if (process.getuid?.() === 0) await run('chown', ['-R', '-h', `${postgresUser}:${postgresUser}`, data, log]);
};

/** An ext4 of what is in a folder, its tables written now and not by the guest; a sparse file. */
const makeDisk = async (from: string, file: string, mebibytes: number): Promise<void> => {
  await writeFile(file, '');
  await truncate(file, mebibytes * 2 ** 20);
  const options = ['-q', '-F', '-b', '4096', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0'];
  await run('mkfs.ext4', [...options, '-d', from, file]);
};
