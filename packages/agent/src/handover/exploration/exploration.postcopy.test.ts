import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explore } from './explore.ts';
import { worldOf } from './scenarios.ts';

describe('every state of a handover whose source may go over to post-copy', () => {
  for (const administrator of ['none', 'careful'] as const) {
    it(administrator === 'none' ? 'keeps its rules, and comes to an end' : 'and with an administrator', (test) => {
      const world = worldOf({ postcopy: true, administrator });
      const { states, transitions, depth, violation } = explore(world);
      test.diagnostic(`${states} states, ${transitions} transitions, depth ${depth}, nothing bounded`);
      assert.deepEqual([violation?.what, violation?.trace], [undefined, undefined]);
      for (const taken of ['switching + postcopy-active', 'feeding + completed', 'feeding + failed'])
        assert.ok(world.source.taken.has(taken), taken);
      for (const taken of [
        'receiving + drawing',
        'arriving + loaded',
        'losing + discarded',
        'losing + loaded',
        'returning + starved',
        'returning + loaded',
      ])
        assert.ok(world.destination.taken.has(taken), taken);
    });
  }
});
