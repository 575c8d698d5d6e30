/** Puts guests together from unpacked packages: programs with their libraries, kernel modules, and the initramfs that they go into. */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../system/command.ts';
import { currentPackages, dependencyOf, fetchPackages, type Package, unpackPackages } from './debian.ts';
import { loadOrder, moduleName, needsOf } from './modules.ts';
import { kernelMetaPackage } from './recipe.ts';

export const guestCache = join(fileURLToPath(new URL('../../..', import.meta.url)), '.cache', 'guest');

export interface Building {
  /** For people, such as `guest image`. */
  readonly what: string;
  /** Debian's, beside the kernel's. */
  readonly packages: readonly string[];
  /** Files that the image depends on beside the packages, this one's neighbours not counted. */
  readonly sources: readonly (string | URL)[];
  /** @param unpacked the packages; @param work an empty folder to work in; @param image an empty one for what is kept */
  readonly assemble: (unpacked: string, work: string, image: string) => Promise<void>;
}

/**
 * What is built from what Debian has now, where it is not in the cache yet.
 * @param say is told what takes time
 * @param cache packages are kept in it, too
 * @returns the folder of the image
 */
export const buildOnce = async (building: Building, say: (message: string) => void, cache = guestCache): Promise<string> => {
  const names = [await dependencyOf(kernelMetaPackage), ...building.packages];
  const wanted = await currentPackages(names);
  const folder = join(cache, await imageName(wanted, building.sources));
  const present = await readdir(folder).catch(() => []);
  if (present.length > 0) return folder;

  const megabytes = wanted.reduce((sum, each) => sum + each.size, 0) / 1e6;
  say(`${building.what}: ${wanted.length} Debian packages, ${megabytes.toFixed(0)} MB, kept in ${cache}`);
  const debs = join(cache, 'packages');
  await fetchPackages(names, wanted, debs);
  const work = await mkdtemp(join(cache, 'build-'));
  try {
    await unpackPackages(wanted, debs, join(work, 'unpacked'));
    for (const each of ['work', 'image']) await mkdir(join(work, each));
    await building.assemble(join(work, 'unpacked'), join(work, 'work'), join(work, 'image'));
    await publish(join(work, 'image'), folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  say(`${building.what}: ready in ${folder}`);
  return folder;
};

const imageName = async (wanted: readonly Package[], sources: readonly (string | URL)[]): Promise<string> => {
  const hash = createHash('sha256');
  for (const { sha256 } of wanted) hash.update(sha256);
  const ours = ['assemble.ts', 'modules.ts', 'recipe.ts'].map((name) => new URL(name, import.meta.url));
  for (const source of [...sources, ...ours]) hash.update(await readFile(source));
  return hash.digest('hex').slice(0, 16);
};

/** Whoever builds the same image at the same time makes the same one: the first to be done is kept. */
const publish = async (made: string, folder: string): Promise<void> => {
  try {
    await rename(made, folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // rename throws system errors only
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
};

/** Debian's busybox, the script `/init`, and the modules in the order in which that loads them. */
export const addBase = async (unpacked: string, root: string, initScript: string, modules: readonly string[]): Promise<void> => {
  await install(join(unpacked, 'bin/busybox'), join(root, 'bin/busybox'), 0o755);
  await install(initScript, join(root, 'init'), 0o755);
  await addModules(unpacked, root, modules);
};

/** A script that busybox's `acpid` runs when the power button is pressed. */
export const addPowerButton = async (root: string, script: string): Promise<void> => {
  const path = join(root, 'etc/acpi/PWRF/00000080');
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, script, { mode: 0o755 });
};

/** `vmlinuz`, and `initrd.gz` of what is in `root`. */
export const addKernelAndInitramfs = async (unpacked: string, root: string, image: string): Promise<void> => {
  const kernel = (await readdir(join(unpacked, 'boot'))).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error('the kernel package has no /boot/vmlinuz-*');
  await copyFile(join(unpacked, 'boot', kernel), join(image, 'vmlinuz'));
  const pack = 'find . -print0 | LC_ALL=C sort -z | cpio --null --quiet --owner 0:0 -o -H newc | gzip -1 > "$1"';
  await run('bash', ['-o', 'pipefail', '-c', pack, 'bash', join(image, 'initrd.gz')], { cwd: root });
};

/** The programs, and every library that the dynamic linker would load for them, at the same paths. */
export const addPrograms = async (unpacked: string, root: string, programs: readonly string[]): Promise<void> => {
  const linker = 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2';
  const folders = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'].map((folder) => join(unpacked, folder));
  await install(join(unpacked, linker), join(root, linker), 0o755);
  await mkdir(join(root, 'lib64'), { recursive: true });
  await symlink(`/${linker}`, join(root, 'lib64/ld-linux-x86-64.so.2'));
  for (const program of programs) {
    await install(join(unpacked, program), join(root, program), 0o755);
    // The packages' own linker lists what it would load, which is more honest than a list kept by hand.
    const listed = await run(join(unpacked, linker), ['--library-path', folders.join(':'), '--list', join(unpacked, program)]);
    for (const line of listed.split('\n')) {
      const [, name, path] = /^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$/.exec(line) ?? [];
      if (path === 'not found') throw new Error(`${program} needs ${name}, which is in none of the packages that its recipe names`);
      if (path?.startsWith(`${unpacked}/`) && !path.endsWith('/ld-linux-x86-64.so.2')) {
        await install(path, join(root, path.slice(unpacked.length + 1)), 0o644);
      }
    }
  }
};

const addModules = async (unpacked: string, root: string, modules: readonly string[]): Promise<void> => {
  const files = (await readdir(join(unpacked, 'lib/modules'), { recursive: true })).filter((path) => path.endsWith('.ko'));
  const fileOf = new Map(files.map((path) => [moduleName(path), join(unpacked, 'lib/modules', path)]));
  const builtIn = files.length === 0 ? '' : await builtInModules(unpacked);
  const needs = new Map<string, readonly string[]>();
  for (const [name, path] of fileOf) needs.set(name, needsOf(await readFile(path)));
  const order: string[] = [];
  for (const name of loadOrder(modules, (module) => needs.get(module) ?? [])) {
    const path = fileOf.get(name);
    if (path !== undefined) {
      await install(path, join(root, 'modules', `${name}.ko`), 0o644);
      order.push(`${name}.ko\n`);
    } else if (!builtIn.includes(`/${name}.ko`)) {
      throw new Error(`the kernel package has no module ${name}`);
    }
  }
  await writeFile(join(root, 'modules/order'), order.join(''));
};

const builtInModules = async (unpacked: string): Promise<string> => {
  const [version] = await readdir(join(unpacked, 'lib/modules'));
  const text = await readFile(join(unpacked, 'lib/modules', version ?? '', 'modules.builtin'), 'utf8');
  return text.replaceAll('-', '_');
};

export const install = async (from: string, to: string, mode: number): Promise<void> => {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
  await chmod(to, mode);
};
