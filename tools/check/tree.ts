/** The files of a checkout that people wrote. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

const notOurs = new Set(['node_modules', '.git', '.runtime', '.runtime.new', '.cache', 'coverage']);
/** Fixtures break the rules on purpose. */
const fixtures = 'tools/check/fixtures';

/** Paths relative to `root`, sorted; links are not followed. */
export async function filesOf(root: string, folder = ''): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isFile()) files.push(path);
    else if (entry.isDirectory() && !notOurs.has(entry.name) && path !== fixtures) files.push(...(await filesOf(root, path)));
  }
  return files.sort();
}
