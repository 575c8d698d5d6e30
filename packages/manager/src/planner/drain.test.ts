import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planDrain } from './index.ts';
import { ruleOf, type SiteOf, snapshotOf } from './testing/sites.ts';

const hosts = ['alpha', 'bravo', 'charlie'].map((name) => ({ name }));
const drain = (site: Partial<SiteOf>) => planDrain(snapshotOf({ hosts, vms: [], ...site }), 'alpha', {});
const here = (name: string, memoryMiB = 1024, cpus = 0) => ({ name, host: 'alpha', cpus, definition: { memoryMiB } });
const ways = (site: Partial<SiteOf>) => Object.fromEntries(drain(site).moves.map(({ vm, to }) => [vm, to]));

describe('a drain', () => {
  it('moves everything, the highest impact last', () => {
    const { moves, stays } = drain({ vms: [here('big', 8000), here('small', 500), here('busy', 5000, 1), here('middle', 6000)] });
    assert.deepEqual(
      moves.map(({ vm }) => vm),
      ['small', 'middle', 'big', 'busy'],
    );
    assert.deepEqual(stays, []);
    assert.ok(moves.every(({ suite, why, from }) => suite === 'aes-256-gcm' && from === 'alpha' && why !== ''));
  });

  it('counts each move for the ones after it', () => {
    const vms = [here('a', 600), here('b', 600), here('c', 600)];
    const { moves, stays } = drain({
      vms,
      hosts: [{ name: 'alpha' }, { name: 'bravo', totalMiB: 1000 }, { name: 'charlie', totalMiB: 1000 }],
    });
    assert.equal(moves.length, 2);
    assert.notEqual(moves[0]?.to, moves[1]?.to);
    assert.equal(stays.length, 1);
    assert.match(stays[0]?.why ?? '', /none of 2 hosts will do.*400 MiB of 1000 MiB are free/);
    assert.ok(stays[0]?.candidates.every(({ checks }) => checks.some(({ name, verdict }) => name === 'memory' && verdict === 'fail')));
  });

  it('places the biggest first, while there is room for it', () => {
    const vms = [here('small', 300), here('big', 900)];
    const { moves } = drain({ vms, hosts: [{ name: 'alpha' }, { name: 'bravo', totalMiB: 1000 }, { name: 'charlie', totalMiB: 400 }] });
    assert.deepEqual(
      moves.map(({ vm, to }) => [vm, to]),
      [
        ['small', 'charlie'],
        ['big', 'bravo'],
      ],
    );
  });

  it('says of every VM that stays why', () => {
    const shared = { path: '/nfs/a.qcow2', format: 'qcow2' as const, shared: true };
    const { moves, stays } = drain({
      vms: [
        { ...here('off'), state: 'stopped', definition: { disks: [shared] } },
        { ...here('off-here'), state: 'crashed', definition: { disks: [{ ...shared, shared: false }] } },
        { ...here('bound'), immovable: ['it holds a PCI device'] },
        { ...here('leaving'), state: 'moving-out' },
        { ...here('stranger'), known: false },
        { name: 'coming', host: 'bravo' },
      ],
      migrations: [
        { id: '1', vm: 'leaving', from: 'alpha', to: 'bravo', phase: 'copying' },
        { id: '2', vm: 'coming', from: 'bravo', to: 'alpha', phase: 'copying' },
      ],
    });
    assert.deepEqual(moves, []);
    const why = Object.fromEntries(stays.map((stay) => [stay.vm, stay.why]));
    assert.deepEqual(Object.keys(why).sort(), ['bound', 'coming', 'off', 'off-here', 'stranger']);
    assert.match(
      why['off'] ?? '',
      /off is stopped: it has no memory to move, and stays defined on host alpha; it has no disk on host alpha alone/,
    );
    assert.match(why['off-here'] ?? '', /\/nfs\/a\.qcow2 can be read on host alpha only/);
    assert.match(why['bound'] ?? '', /it holds a PCI device/);
    assert.match(why['stranger'] ?? '', /the manager does not have there/);
    assert.match(why['coming'] ?? '', /still arriving from host bravo/);
  });

  it('takes VMs that must be together to one host, or leaves all of them', () => {
    const rules = [ruleOf('pair', 'together', ['a', 'b'], { must: true })];
    const vms = [here('a', 600), here('b', 600)];
    const tight = [{ name: 'alpha' }, { name: 'bravo', totalMiB: 1000 }, { name: 'charlie', totalMiB: 1300 }];
    assert.deepEqual(ways({ vms, rules, hosts: tight }), { a: 'charlie', b: 'charlie' });
    assert.deepEqual(ways({ vms, hosts: tight }), { a: 'charlie', b: 'bravo' });
    const { moves, stays } = drain({ vms, rules, hosts: tight.slice(0, 2) });
    assert.deepEqual(moves, []);
    assert.match(stays[0]?.why ?? '', /must be together with b, and no host has room for all of them/);
    // Where one of them cannot leave, the other does not go without it.
    assert.deepEqual(ways({ vms: [{ ...here('a'), immovable: ['bound'] }, here('b')], rules }), {});
  });

  it('keeps those apart that must be', () => {
    const rules = [ruleOf('quorum', 'apart', ['a', 'b', 'c'], { must: true })];
    const { moves, stays } = drain({ vms: [here('a'), here('b'), here('c')], rules });
    assert.deepEqual(new Set(moves.map(({ to }) => to)), new Set(['bravo', 'charlie']));
    assert.equal(stays.length, 1);
  });

  it('moves nothing off a host that does not answer', () => {
    const vms = [{ ...here('a'), state: 'unknown' as const }];
    const { moves, stays } = drain({ vms, hosts: [{ name: 'alpha', state: 'unreachable' }, { name: 'bravo' }] });
    assert.deepEqual(moves, []);
    assert.match(stays[0]?.why ?? '', /host alpha does not answer/);
  });
});
