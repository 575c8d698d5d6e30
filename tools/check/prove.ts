/**
 * Proof that a check can fail. Each folder of fixtures/CHECK/ is a small tree that breaks rules on purpose, with `expected.txt`
 * saying which, one `path: rule` a line. The tree is laid into an empty folder beside the repository's own configuration and checked
 * there exactly as the repository is: a rule that was switched off, misspelt or narrowed shows as an expected finding that is missing.
 * A path in `clean.txt` must have no finding, so that a check which is red for everything proves nothing either.
 */
import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check } from './finding.ts';

const configuration = ['biome.json', 'knip.json', 'tsconfig.json', 'package.json', '.gitignore'];

const linesOf = async (file: string): Promise<string[]> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
};

/** What the check failed to find, or found where nothing is; empty when it is proven. */
async function proveOn(root: string, fixture: string, check: Check): Promise<string[]> {
  const tree = await mkdtemp(join(tmpdir(), 'sealift-check-'));
  try {
    for (const name of configuration) await cp(join(root, name), join(tree, name));
    await cp(join(fixture, 'tree'), tree, { recursive: true });
    await symlink(join(root, 'node_modules'), join(tree, 'node_modules'));
    const findings = await check.run(tree);
    const found = new Set(findings.map(({ path, rule }) => `${path}: ${rule}`));
    const expected = await linesOf(join(fixture, 'expected.txt'));
    if (expected.length === 0) return [`${fixture} expects nothing`];
    const missing = expected.filter((line) => !found.has(line)).map((line) => `did not find "${line}"`);
    const clean = new Set(await linesOf(join(fixture, 'clean.txt')));
    const wrong = findings.filter(({ path }) => clean.has(path)).map(({ path, rule }) => `found "${path}: ${rule}" where nothing is wrong`);
    return [...missing, ...wrong];
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

/** @returns in words, what is wrong with the check; empty when every fixture turned it red for the reasons expected. */
export async function prove(root: string, check: Check): Promise<string[]> {
  const folder = join(root, 'tools/check/fixtures', check.name);
  const fixtures = await readdir(folder).catch(() => []);
  if (fixtures.length === 0) return [`there is no fixture in ${folder}`];
  const problems = await Promise.all(
    fixtures.map(async (name) => (await proveOn(root, join(folder, name), check)).map((problem) => `fixture ${name}: ${problem}`)),
  );
  return problems.flat();
}
