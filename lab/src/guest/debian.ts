/** Fetches Debian packages, and unpacks them without installing them. Neither needs root once apt has its lists. */
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, run } from '../system/command.ts';

/** One version of a package, as apt would fetch it. */
export interface Package {
  /** With name, version and architecture. */
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

/**
 * The versions that apt would install, with what each one is checked by.
 * @throws CommandError when a package is not to be had
 */
export const currentPackages = async (names: readonly string[]): Promise<readonly Package[]> => {
  const lines = (await withLists(() => run('apt-get', ['download', '--print-uris', '-qq', ...names]))).split('\n');
  const found = lines.flatMap((line) => {
    const match = /^'.*' (\S+\.deb) (\d+) SHA256:([0-9a-f]{64})$/.exec(line);
    return match?.[1] && match[3] ? [{ file: match[1], size: Number(match[2]), sha256: match[3] }] : [];
  });
  if (found.length !== names.length) throw new Error(`apt-get knows ${found.length} of the ${names.length} packages: ${names.join(' ')}`);
  return found.sort((a, b) => (a.file < b.file ? -1 : 1));
};

/** The one package that a package without content of its own stands for, such as the current kernel. */
export const dependencyOf = async (metaPackage: string): Promise<string> => {
  const listed = await withLists(() => run('apt-cache', ['depends', '--important', metaPackage]));
  const name = /^ *Depends: (\S+)$/m.exec(listed)?.[1];
  if (name === undefined) throw new Error(`${metaPackage} depends on nothing, says apt-cache depends`);
  return name;
};

/** Runs what needs apt's lists, and fetches these first where they are missing. */
const withLists = async (action: () => Promise<string>): Promise<string> => {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (process.getuid?.() !== 0) throw new Error(`${error.message}\nRun as root once: apt-get update`, { cause: error });
    await run('apt-get', ['update', '-qq']);
    return action();
  }
};

/**
 * Fetches packages that are not in the cache yet.
 * @param names the packages' names, as for {@link currentPackages}
 */
export const fetchPackages = async (names: readonly string[], wanted: readonly Package[], cache: string): Promise<void> => {
  await mkdir(cache, { recursive: true });
  const present = await Promise.all(wanted.map((each) => exists(join(cache, each.file))));
  if (present.every(Boolean)) return;
  const folder = await mkdtemp(join(cache, 'fetch-'));
  try {
    // As root apt would hand the download to a user who cannot write here, and warn of it.
    await run('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', ...names], { cwd: folder });
    for (const { file, sha256 } of wanted) {
      const found = createHash('sha256')
        .update(await readFile(join(folder, file)))
        .digest('hex');
      if (found !== sha256) throw new Error(`${file}: SHA-256 is ${found} and should be ${sha256}`);
      await rename(join(folder, file), join(cache, file));
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** Unpacks packages from the cache into a folder. */
export const unpackPackages = async (wanted: readonly Package[], cache: string, root: string): Promise<void> => {
  for (const { file } of wanted) await run('dpkg-deb', ['-x', join(cache, file), root]);
};

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
