import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './explore.ts';
import { postcopyMutations } from './mutations.postcopy.ts';
import { mutated } from './scenarios.ts';

describe('each rule of post-copy is needed', () => {
  for (const mutation of postcopyMutations) {
    it(mutation.rule, (test) => {
      const { violation } = explore(mutated(mutation));
      assert.ok(violation, `nothing comes of it: ${mutation.broken}`);
      const steps = violation.trace.map((step, i) => `${i + 1}. ${step}`);
      test.diagnostic([`broken: ${mutation.broken}`, ...steps, `=> ${violation.what}`].join('\n'));
    });
  }
});
