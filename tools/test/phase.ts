/** One phase of the tests: a list of files handed to node:test, and what came of it. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Counts, Tally } from './tally.ts';

export interface Phase {
  readonly name: string;
  /** Absolute paths. */
  readonly files: readonly string[];
  /** Files at a time. */
  readonly concurrency: number;
  /** What one file may take; a test in it may take a little less, so that it fails by its own name and its clean-up runs. */
  readonly fileSeconds: number;
}

export interface Outcome {
  readonly counts: Counts;
  /** In words, why the phase failed; empty when it passed. */
  readonly problems: readonly string[];
  readonly seconds: number;
}

export const nothingCounted: Counts = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };

/** @param output where the report for people goes: `inherit` shows it as it comes */
export async function runPhase(phase: Phase, output: 'inherit' | 'ignore' = 'inherit'): Promise<Outcome> {
  const start = performance.now();
  const folder = await mkdtemp(join(tmpdir(), 'sealift-test-'));
  try {
    const tallyFile = join(folder, 'tally.json');
    const status = await runNode(phase, tallyFile, output);
    const text = await readFile(tallyFile, 'utf8').catch(() => '');
    // The tally is ours, written by tally.ts; nothing at all is written where the runner itself died.
    const tally: Tally = text === '' ? { total: nothingCounted, files: {}, failures: [] } : JSON.parse(text);
    return { counts: tally.total, problems: judge(phase, status, tally), seconds: (performance.now() - start) / 1000 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function runNode({ files, concurrency, fileSeconds }: Phase, tallyFile: string, output: 'inherit' | 'ignore'): Promise<number | string> {
  const here = import.meta.dirname;
  const flags = [
    '--disable-warning=ExperimentalWarning',
    `--import=${join(here, 'deadline.ts')}`,
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${Math.round(fileSeconds * 900)}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(here, 'tally.ts')}`,
    `--test-reporter-destination=${tallyFile}`,
  ];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env; // with it node:test would take itself for a test file's process
  const child = spawn(process.execPath, [...flags, ...files], {
    stdio: ['ignore', output, output],
    env: { ...env, SEALIFT_TEST_FILE_SECONDS: String(fileSeconds) },
    // A file stuck in a loop cannot end itself; no phase takes longer than its files one after the other.
    timeout: (files.length * fileSeconds + 30) * 1000,
    killSignal: 'SIGINT',
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve(status ?? signal ?? 'unknown'));
  });
}

function judge({ name, files }: Phase, status: number | string, { total, files: counted, failures }: Tally): string[] {
  const problems = failures.map((failure) => `${name}: ${failure}`);
  if (status !== 0 && problems.length === 0) problems.push(`${name}: node:test ended with ${status}`);
  if (status === 0 && total.failed + total.cancelled > 0) problems.push(`${name}: ${total.failed + total.cancelled} failed`);
  for (const file of files) {
    if (status === 0 && !counted[file]) problems.push(`${name}: ${file} has no test in it`);
  }
  if (total.tests === 0) problems.push(`${name}: no test was found`);
  return problems;
}
