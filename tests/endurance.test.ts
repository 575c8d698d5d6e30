/** A little of `npm run endurance`: what it looks at after each move is the same; two hundred moves take some minutes. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needsRoot } from '../packages/agent/src/testing/namespace.ts';
import { run } from './support/lab.ts';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

it('twelve moves back and forth lose nothing and leave nothing', { skip: needsRoot }, async () => {
  const { status, stdout, stderr } = await run(file('../tools/node'), [file('endurance.ts'), '--migrations', '12']);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /12 migrations in .* 0 lost, 0 wrong/s);
});
