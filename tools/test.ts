/**
 * `npm test`: the checks, then every `*.test.ts` under packages/, lab/ and tools/, then the end-to-end tests under tests/ one after the
 * other, but for those that mostly wait, two at a time (they need root and make network namespaces).
 *
 *   --unit           leave the end-to-end tests out
 *   --only PATTERN   only test files whose path matches the regular expression, and no checks
 *
 * Exit status 1 where anything failed, a file hung or had no test, or nothing was found to run.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nothingCounted, type Outcome, type Phase, runPhase } from './test/phase.ts';

const root = join(import.meta.dirname, '..');

function options(): { unit: boolean; only: RegExp | undefined } {
  try {
    const { values } = parseArgs({ options: { unit: { type: 'boolean', default: false }, only: { type: 'string' } } });
    return { unit: values.unit, only: values.only === undefined ? undefined : new RegExp(values.only) };
  } catch (error) {
    console.error(`npm test: ${error instanceof Error ? error.message : error}\nusage: npm test -- [--unit] [--only PATTERN]`);
    process.exit(2);
  }
}

const { unit, only } = options();
const find = (...patterns: string[]): string[] =>
  globSync(patterns, { cwd: root, exclude: (path) => path.includes('node_modules') || path.includes('fixtures') })
    .filter((path) => only?.test(path) ?? true)
    .sort()
    .map((path) => join(root, path));

const endToEnd = find('tests/**/*.test.ts');
/**
 * They wait more than they work: for the product's own limits, ten seconds of silence and fifteen for a hello, and for daemons and commands to
 * start. What they assert is who runs the VM, what is said and what is left; each has a lab or namespaces of its own. All others measure, or need
 * a guest that gets the whole of a CPU.
 */
const waiting =
  /tests\/(agent-compliance|agent-restart|attack|cancel|chaos|in-doubt|journal|modes|orphans|stalled|tunnel|wrong-input)\.test\.ts$/;

const phases: Phase[] = [
  {
    name: 'unit',
    files: find('packages/**/*.test.ts', 'lab/**/*.test.ts', 'tools/**/*.test.ts'),
    concurrency: Math.min(availableParallelism(), 8),
    fileSeconds: 120,
  },
  ...(unit
    ? []
    : [
        // First, as the first lab of a new checkout fetches apt's lists and builds the guest: two at once would stand in each other's way.
        { name: 'end-to-end', files: endToEnd.filter((file) => !waiting.test(file)), concurrency: 1, fileSeconds: 300 },
        { name: 'end-to-end, side by side', files: endToEnd.filter((file) => waiting.test(file)), concurrency: 2, fileSeconds: 300 },
      ]),
];

const start = performance.now();
const problems: string[] = [];
const outcomes: Outcome[] = [];

if (only === undefined) {
  const { status } = spawnSync(process.execPath, [join(root, 'tools/check/main.ts')], { stdio: 'inherit' });
  if (status !== 0) problems.push('check: see its findings above');
}

for (const phase of phases) {
  if (phase.files.length === 0) {
    if (only === undefined) problems.push(`${phase.name}: no test file was found`);
    continue;
  }
  if (phase.name.startsWith('end-to-end') && process.getuid?.() !== 0) {
    problems.push(`${phase.name}: these tests make network namespaces and need root; run npm test as root, or npm test -- --unit`);
    continue;
  }
  console.log(`\n${phase.name}: ${phase.files.length} files`);
  const outcome = await runPhase(phase);
  outcomes.push(outcome);
  problems.push(...outcome.problems);
}
if (outcomes.length === 0 && problems.length === 0) problems.push(`no test file matches ${only}`);

const sum = (key: keyof typeof nothingCounted): number => outcomes.reduce((total, { counts }) => total + counts[key], 0);
console.log('\nall phases:');
for (const key of Object.keys(nothingCounted) as (keyof typeof nothingCounted)[]) console.log(`  ${key.padEnd(10)} ${sum(key)}`); // its own keys
console.log(`  duration   ${((performance.now() - start) / 1000).toFixed(1)} s`);
for (const problem of problems) console.log(`FAILED  ${problem.replaceAll(`${root}/`, '')}`);
console.log(problems.length === 0 ? 'npm test: ok' : 'npm test: FAILED');
process.exitCode = problems.length === 0 ? 0 : 1;
