import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { AgentVm, VmState } from '@sealift/contract';
import { definitionOf } from '../testing/records.ts';
import { VmStates } from './vm-states.ts';

it('a VM whose state is another tells so once; a migration tells of itself', () => {
  const states = new VmStates();
  const says = (...all: [string, VmState][]): string[] => {
    const vms: AgentVm[] = all.map(([name, state]) => ({ definition: definitionOf(name), state, log: '/l' }));
    return states.changed(vms).map(({ vm, before, state }) => `${vm}: ${before} → ${state}`);
  };
  assert.deepEqual(says(['a', 'running'], ['b', 'stopped']), []);
  assert.deepEqual(says(['a', 'running'], ['b', 'running']), ['b: stopped → running']);
  assert.deepEqual(says(['a', 'moving-out'], ['b', 'crashed']), ['b: running → crashed']);
  assert.deepEqual(says(['a', 'running'], ['b', 'crashed']), []);
  assert.deepEqual(says(['a', 'moving-out']), []);
  assert.deepEqual(says(['b', 'moving-in']), []);
  assert.deepEqual(says(['b', 'running']), []);
  assert.deepEqual(says(['b', 'paused']), ['b: running → paused']);
});
