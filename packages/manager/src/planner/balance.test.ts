import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planBalance } from './index.ts';
import { applied, at, ruleOf, type SiteOf, type SiteVm, snapshotOf } from './testing/sites.ts';

const hosts = ['alpha', 'bravo', 'charlie'].map((name) => ({ name }));
const on = (host: string, count: number, cpus: number): SiteVm[] =>
  Array.from({ length: count }, (_, index) => ({ name: `${host}-${index}`, host, cpus, definition: { vcpus: 8 } }));
const balance = (site: Partial<SiteOf>) => planBalance(snapshotOf({ hosts, vms: [], ...site }), 'default');

describe('a balance', () => {
  it('moves nothing within the band', () => {
    const plan = balance({ vms: [...on('alpha', 3, 2), ...on('bravo', 2, 2), ...on('charlie', 2, 2)] });
    assert.deepEqual([plan.moves, plan.balanced], [[], true]);
    assert.match(plan.why, /every host is within the band around the cluster's mean of cpu 29 %/);
  });

  it('brings all hosts into the band by the fewest moves, each with its reason and estimate', () => {
    const site: SiteOf = { hosts, vms: on('alpha', 6, 2) };
    const plan = planBalance(snapshotOf(site), 'default');
    // 75 %, 0, 0 round a mean of 25 % with a band of 15: two must leave to lift the others to 10 % or more, and two more to come down to 40 %.
    assert.equal(plan.balanced, true);
    assert.equal(plan.moves.length, 3);
    assert.deepEqual(
      plan.after.map(({ load }) => load.cpu),
      [0.375, 0.25, 0.125].sort((a, b) => b - a),
    );
    for (const { why, estimate } of plan.moves) {
      assert.match(why, /host alpha from cpu .* to cpu .*mean/);
      assert.ok(estimate && estimate.ms > 0);
    }
    assert.deepEqual(planBalance(snapshotOf(applied(site, plan.moves)), 'default').moves, []);
  });

  it('leaves alone what was moved of late', () => {
    const vms = on('alpha', 6, 2).map((vm, index) => ({ ...vm, movedAt: index < 5 ? at - 1000 : at - 700_000 }));
    const plan = balance({ vms });
    assert.deepEqual(
      plan.moves.map(({ vm }) => vm),
      ['alpha-5'],
    );
    assert.equal(plan.balanced, false);
    assert.match(plan.why, /after 1 move: outside of the band.*not moved of late/);
  });

  it('neither gives to nor takes from hosts in maintenance or silent', () => {
    const plan = balance({
      hosts: [{ name: 'alpha' }, { name: 'bravo', maintenance: 'maintenance' }, { name: 'charlie', state: 'unreachable' }],
      vms: on('alpha', 6, 2),
    });
    assert.deepEqual(plan.moves, []);
    const other = balance({
      hosts: [{ name: 'alpha', maintenance: 'draining' }, { name: 'bravo' }, { name: 'charlie' }],
      vms: on('alpha', 6, 2),
    });
    assert.deepEqual([other.moves, other.balanced], [[], true]);
  });

  it('never breaks a rule, not even one that may be broken, nor a check', () => {
    const vms = on('alpha', 6, 2);
    const names = vms.map(({ name }) => name);
    assert.deepEqual(balance({ vms, rules: [ruleOf('pin', 'on-hosts', names, { hosts: ['alpha'] })] }).moves, []);
    assert.deepEqual(balance({ vms: vms.map((vm) => ({ ...vm, immovable: ['bound'] })) }).moves, []);
    const { moves } = balance({ vms, rules: [ruleOf('ban', 'not-on-hosts', names, { hosts: ['bravo'], must: true })] });
    assert.ok(moves.length > 0 && moves.every(({ to }) => to === 'charlie'));
  });

  it('does not copy for minutes what is hardly out of the band', () => {
    const slow = hosts.slice(0, 2).map(({ name }) => ({ name, totalMiB: 10_000_000, report: { linkMbps: 10, cpus: 16 } }));
    const vms = [...on('alpha', 1, 5), { name: 'huge', host: 'alpha', cpus: 0.5, definition: { vcpus: 8, memoryMiB: 500_000 } }];
    const immovable = vms.map((vm) => (vm.name === 'huge' ? vm : { ...vm, immovable: ['bound'] }));
    const plan = balance({ hosts: slow, vms: immovable });
    assert.deepEqual([plan.moves, plan.balanced], [[], false]);
    const fast = slow.map((host) => ({ ...host, report: { ...host.report, linkMbps: 100_000 } }));
    assert.equal(balance({ hosts: fast, vms: immovable }).moves.length, 1);
  });

  it('evens out memory too', () => {
    const vms = Array.from({ length: 6 }, (_, index) => ({ name: `vm-${index}`, host: 'alpha', cpus: 0, definition: { memoryMiB: 8192 } }));
    const plan = balance({ vms });
    assert.equal(plan.balanced, true);
    assert.equal(plan.before[0]?.load.memory, 0.75);
    assert.ok(plan.after.every(({ load }) => Math.abs(load.memory - 0.25) <= 0.15));
  });
});
