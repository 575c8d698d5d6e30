import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './explore.ts';
import { mutations } from './mutations.ts';
import { mutated } from './scenarios.ts';

/** The second half, in a file of its own: on a busy machine all of them together take minutes. */
const half = mutations.slice(Math.ceil(mutations.length / 2));

describe('each rule of the handover is needed, second half', () => {
  for (const mutation of half) {
    it(mutation.rule, (test) => {
      const { violation } = explore(mutated(mutation));
      assert.ok(violation, `nothing comes of it: ${mutation.broken}`);
      const steps = violation.trace.map((step, i) => `${i + 1}. ${step}`);
      test.diagnostic([`broken: ${mutation.broken}`, ...steps, `=> ${violation.what}`].join('\n'));
    });
  }
});
