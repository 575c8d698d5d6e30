/** What no tool knows about this repository: length of files, lock files, links, and that the hand-over stays lazy. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Check, Finding } from './finding.ts';
import { checkLinks } from './links.ts';
import { filesOf } from './tree.ts';

const maxLines = 400;
/** Data is as long as it is. */
const data = /(^|\/)(vectors|data|figures)\/|\.(json|svg|png|csv|pem)$/;

/** A source file is one idea; past this length it no longer is. A document is as long as its subject. */
function checkLength(path: string, text: string): Finding[] {
  const lines = text.split('\n').length - 1;
  return lines > maxLines && !data.test(path) && !path.endsWith('.md')
    ? [{ path, rule: 'length', message: `${lines} lines; at most ${maxLines}` }]
    : [];
}

/** A lock file that names a host installs from that host only. */
function checkLock(path: string, text: string): Finding[] {
  const lock: { packages?: Record<string, { resolved?: string }> } = JSON.parse(text);
  return Object.entries(lock.packages ?? {})
    .filter(([, { resolved }]) => resolved?.includes('://'))
    .map(([name]) => ({
      path,
      rule: 'lock-host',
      message: `${name} is "resolved" to a host; npm config set omit-lockfile-registry-resolved true`,
    }));
}

/** The CLI starts without loading a daemon: the mains of other packages are imported when called for, never at the top of a file. */
function checkHandOver(path: string, text: string): Finding[] {
  // A type import is erased; `import(` has a bracket before the name.
  const early =
    /^(?:import\s+(?!type\b)|export\s*[*{])[^;'"()]*['"](@sealift\/(?:agent|manager|transport|lab)\b[^'"]*)['"]|^import\s*['"](@sealift\/(?:agent|manager|transport|lab)\b[^'"]*)['"]/gm;
  return [...text.matchAll(early)].map(({ 1: named, 2: bare, index }) => ({
    path,
    line: text.slice(0, index).split('\n').length,
    rule: 'hand-over',
    message: `imports ${named ?? bare} at once; the hand-over is by import() when the command is used`,
  }));
}

/** A promise that names a test which is gone is no longer shown by anything. */
function checkEvidence(path: string, text: string, files: ReadonlySet<string>): Finding[] {
  return [...text.matchAll(/`([\w./-]+\.ts)`/g)]
    .filter(({ 1: file = '' }) => !files.has(file))
    .map(({ 1: file, index }) => ({
      path,
      line: text.slice(0, index).split('\n').length,
      rule: 'evidence',
      message: `names ${file}, which does not exist`,
    }));
}

export const hygiene: Check = {
  name: 'hygiene',
  async run(root) {
    const findings: Finding[] = [];
    const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
    const files = await filesOf(root);
    for (const path of files) {
      if (/\.(png|gz|img|ico|woff2)$/.test(path)) continue;
      const text = await read(path);
      findings.push(...checkLength(path, text));
      if (path.endsWith('package-lock.json')) findings.push(...checkLock(path, text));
      if (path.startsWith('packages/cli/') && path.endsWith('.ts')) findings.push(...checkHandOver(path, text));
      if (path === 'SPECIFICATION.md') findings.push(...checkEvidence(path, text, new Set(files)));
      if (path.endsWith('.md')) findings.push(...(await checkLinks(root, path, read)));
    }
    return findings;
  },
};
