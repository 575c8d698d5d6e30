/** On what a run was made: without it, its figures say nothing. */
import { execFileSync, spawnSync } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The first line of what the program says of itself; null where there is none. ssh and stunnel say it on standard error. */
function firstLine(program: string, ...args: string[]): string | null {
  const { stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  const lines = `${stdout}\n${stderr}`.split('\n').map((line) => line.replace(/^\[.\] /, '').replace(/^.*LOG\d\[[^\]]*\]: /, ''));
  return error ? null : (lines.find((line) => /\d\.\d/.test(line))?.trim() ?? null);
}

function git(...args: string[]): string | null {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    // Not a checkout, or no git: the figures stand without the commit.
    return null;
  }
}

/** @param programs of whose versions the figures depend, with what makes each of them tell its own */
export function machineFacts(programs: Readonly<Record<string, readonly [string, ...string[]]>> = {}) {
  return {
    date: new Date().toISOString(),
    commit: git('rev-parse', 'HEAD'),
    /** Whether files of the checkout differ from the commit. */
    changed: git('status', '--porcelain', '--untracked-files=no') !== '',
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    kernel: os.release(),
    node: process.version,
    openssl: process.versions.openssl,
    programs: Object.fromEntries(Object.entries(programs).map(([name, [program, ...args]]) => [name, firstLine(program, ...args)])),
  };
}
