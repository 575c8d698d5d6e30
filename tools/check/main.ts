/**
 * `npm run check`: every check on the repository, and each on fixtures that must fail, so that a check that has stopped looking is
 * noticed. Exit status 1 where anything was found, or a check did not find what it must.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Check, Finding } from './finding.ts';
import { hygiene } from './hygiene.ts';
import { lint } from './lint.ts';
import { prove } from './prove.ts';
import { types } from './types.ts';
import { unused } from './unused.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const checks: readonly Check[] = [types, lint, unused, hygiene];

interface Verdict {
  readonly check: string;
  readonly findings: readonly Finding[];
  /** Why the check cannot be believed. */
  readonly problems: readonly string[];
  readonly milliseconds: number;
}

async function judge(check: Check): Promise<Verdict> {
  const start = performance.now();
  const problem = (error: unknown): string => (error instanceof Error ? error.message : String(error));
  const [findings, problems] = await Promise.all([
    check.run(root).catch((error: unknown) => problem(error)),
    prove(root, check).catch((error: unknown) => [problem(error)]),
  ]);
  const broken = typeof findings === 'string';
  return {
    check: check.name,
    findings: broken ? [] : findings,
    problems: broken ? [findings, ...problems] : problems,
    milliseconds: performance.now() - start,
  };
}

const verdicts: Verdict[] = [];
for (const check of checks) {
  const verdict = await judge(check);
  verdicts.push(verdict);
  for (const { path, line, rule, message } of verdict.findings) {
    console.log(`${path}${line === undefined ? '' : `:${line}`}  ${rule}  ${message}`);
  }
  for (const words of verdict.problems) console.log(`check ${verdict.check} is broken: ${words}`);
}

console.log('');
for (const { check, findings, problems, milliseconds } of verdicts) {
  const outcome = problems.length > 0 ? 'BROKEN' : findings.length > 0 ? `${findings.length} found` : 'ok';
  console.log(`  ${check.padEnd(10)} ${outcome.padEnd(12)} ${(milliseconds / 1000).toFixed(1)} s`);
}
const failed = verdicts.filter(({ findings, problems }) => findings.length > 0 || problems.length > 0).map(({ check }) => check);
console.log(failed.length === 0 ? '\ncheck: ok, and every check is red on its fixtures' : `\ncheck: FAILED: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;
