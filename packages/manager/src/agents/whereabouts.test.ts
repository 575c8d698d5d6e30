import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { AgentVm, Sighting, VmState } from '@sealift/contract';
import fc from 'fast-check';
import { definitionOf } from '../testing/records.ts';
import { Whereabouts } from './whereabouts.ts';

const vms = ['a', 'b', 'c', 'd'];
const hosts = ['h1', 'h2', 'h3'];
const states: VmState[] = ['running', 'stopped', 'moving-in', 'moving-out'];

const has = fc.array(fc.record({ name: fc.constantFrom(...vms), state: fc.constantFrom(...states), pid: fc.option(fc.nat(9)) }), {
  maxLength: 4,
});
const steps = fc.array(fc.record({ host: fc.constantFrom(...hosts), says: fc.oneof(has, fc.constantFrom('silence', 'gone')) }), {
  maxLength: 30,
});

it('after any reports, silences and removals, what is found where is what the last word of each host comes to', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const kept = new Whereabouts();
      const last = new Map<string, AgentVm[] | 'silent'>();
      for (const { host, says } of all) {
        if (says === 'silence') {
          kept.fell(host);
          last.set(host, 'silent');
        } else if (typeof says === 'string') {
          kept.forget(host);
          last.delete(host);
        } else {
          const report = says.map(({ name, state, pid }) => ({
            definition: definitionOf(name),
            state,
            log: '/l',
            ...(pid !== null && { pid }),
          }));
          kept.heard(host, report);
          last.set(host, report);
        }
        const found = (vm: string): Sighting[] =>
          hosts.flatMap((name) => {
            const said = last.get(name);
            const there = said === undefined || said === 'silent' ? [] : said.filter(({ definition }) => definition.name === vm);
            return there.map(({ state, pid }) => ({ host: name, state, ...(pid !== undefined && { pid }) }));
          });
        for (const vm of vms) assert.deepEqual(kept.of(vm), found(vm));
        for (const name of hosts) assert.equal(kept.answers(name), Array.isArray(last.get(name)));
        assert.deepEqual(
          [...kept.silent],
          hosts.filter((name) => last.get(name) === 'silent'),
        );
      }
    }),
  );
});
