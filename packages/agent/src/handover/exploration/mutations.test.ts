import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './explore.ts';
import { mutations } from './mutations.ts';
import { mutated } from './scenarios.ts';

describe('each rule of the handover is needed, first half', () => {
  for (const mutation of mutations.slice(0, Math.ceil(mutations.length / 2))) {
    it(mutation.rule, (test) => {
      const { violation } = explore(mutated(mutation));
      assert.ok(violation, `nothing comes of it: ${mutation.broken}`);
      const steps = violation.trace.map((step, i) => `${i + 1}. ${step}`);
      test.diagnostic([`broken: ${mutation.broken}`, ...steps, `=> ${violation.what}`].join('\n'));
    });
  }
});
