/**
 * `npm run explore`: every state of both machines of a handover, then each of their rules broken once.
 *
 *   --deep   also with nothing forgotten that can make no difference any more (see world.ts): the same verdict, from many more states
 */
import { parseArgs } from 'node:util';
import { type Exploration, explore } from './explore.ts';
import { postcopyMutations } from './mutations.postcopy.ts';
import { mutations } from './mutations.ts';
import { mutated, worldOf } from './scenarios.ts';
import type { World } from './world.ts';

const { values } = parseArgs({ options: { deep: { type: 'boolean', default: false } } });
let failures = 0;

function run(world: World): { readonly found: Exploration; readonly figures: string } {
  const start = performance.now();
  const found = explore(world);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const { states, transitions, depth, ends } = found;
  return { found, figures: `${states} states, ${transitions} transitions, depth ${depth}, ${ends} end states, ${seconds} s` };
}

function tell({ violation }: Exploration): void {
  if (!violation) return;
  violation.trace.forEach((step, i) => {
    console.log(`    ${String(i + 1).padStart(2)}. ${step}`);
  });
  console.log(`    => ${violation.what}`);
}

function expect(name: string, world: World, violated: boolean): void {
  const { found, figures } = run(world);
  const right = (found.violation !== undefined) === violated;
  if (!right) failures++;
  console.log(`${right ? 'ok    ' : 'FAILED'} ${name}\n       ${figures}`);
  tell(found);
}

console.log('Every state, until there is no new one; no bound on crashes, losses, repeats or delays:\n');
expect('the two hosts by themselves', worldOf(), false);
expect('with an administrator who decides as is assumed', worldOf({ administrator: 'careful' }), false);
expect('where the source may go over to post-copy', worldOf({ postcopy: true }), false);
expect('the same, with an administrator', worldOf({ postcopy: true, administrator: 'careful' }), false);
if (values.deep) {
  expect('the two hosts, nothing forgotten', worldOf({ forgets: false }), false);
  expect('with an administrator, nothing forgotten', worldOf({ administrator: 'careful', forgets: false }), false);
}
console.log('\nWhat the command warns of: deciding for the source while the destination merely cannot be reached\n');
expect('an administrator who is hasty', worldOf({ administrator: 'hasty' }), true);
const all = [...mutations, ...postcopyMutations];
console.log(`\n${all.length} rules, each broken once; the shortest way to the harm:\n`);
for (const mutation of all) expect(`${mutation.rule}\n       broken: ${mutation.broken}`, mutated(mutation), true);
console.log(failures === 0 ? '\nexplore: ok' : `\nexplore: ${failures} FAILED`);
process.exitCode = failures === 0 ? 0 : 1;
