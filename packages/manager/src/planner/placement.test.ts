import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { refused } from '../testing/refused.ts';
import { decide, limitsOf, planMigration } from './index.ts';
import { derivedPerHost } from './limits.ts';
import { ruleOf, type SiteOf, snapshotOf } from './testing/sites.ts';

const hosts = ['alpha', 'bravo', 'charlie', 'delta'].map((name) => ({ name }));
const redis = { name: 'redis', host: 'alpha', cpus: 1 };
const planOf = (site: Partial<SiteOf>, order = {}) => planMigration(snapshotOf({ hosts, vms: [redis], ...site }), 'redis', order);
const moving = (vm: string, from: string, to: string) => ({ id: `of-${vm}`, vm, from, to, phase: 'copying' as const });

describe('placement', () => {
  it('takes the least loaded host, says why, and always the same one', () => {
    const vms = [
      redis,
      { name: 'b', host: 'bravo', cpus: 4 },
      { name: 'c', host: 'charlie', cpus: 2 },
      { name: 'd', host: 'delta', cpus: 8 },
    ];
    const plan = planOf({ vms });
    assert.deepEqual(
      plan.candidates.map(({ host }) => host),
      ['charlie', 'bravo', 'delta'],
    );
    assert.equal(plan.to, 'charlie');
    assert.match(plan.why, /host charlie is the best of 3 that will do, score [\d.]+: with it, cpu 19 %.*next is host bravo/);
    assert.equal(plan.candidates[0]?.load?.cpu, 0.1875);
    assert.deepEqual(planOf({ vms: [...vms].reverse(), hosts: [...hosts].reverse() }), plan);
    // Of hosts that are alike, the first by name.
    assert.equal(planOf({}).to, 'bravo');
  });

  it('counts what is under way: memory, load and migrations', () => {
    const vms = [redis, { name: 'other', host: 'alpha', cpus: 6 }];
    assert.equal(planOf({ vms, migrations: [moving('other', 'alpha', 'bravo')] }).to, 'charlie');
  });

  it('takes only hosts of its own cluster by itself, and any that is named', () => {
    const far = [{ name: 'alpha' }, { name: 'omega', cluster: 'other' }];
    const plan = planOf({ hosts: far });
    assert.deepEqual([plan.to, plan.candidates], [undefined, []]);
    assert.match(plan.why, /its cluster has no other host/);
    assert.equal(planOf({ hosts: far }, { to: 'omega' }).to, 'omega');
  });

  it('keeps rules that must be kept, and breaks others only where nothing else is left', () => {
    const vms = [redis, { name: 'other', host: 'bravo' }, { name: 'heavy', host: 'charlie', cpus: 12 }];
    const some = hosts.slice(0, 3);
    const apart = (must: boolean) => [ruleOf('quorum', 'apart', ['redis', 'other'], { must })];
    assert.equal(planOf({ vms, hosts: some }).to, 'bravo');
    assert.equal(planOf({ vms, hosts: some, rules: apart(false) }).to, 'charlie');
    assert.equal(planOf({ vms, hosts: some.slice(0, 2), rules: apart(true) }).to, undefined);
    const last = planOf({ vms, hosts: some.slice(0, 2), rules: apart(false) });
    assert.equal(last.to, 'bravo');
    assert.match(last.why, /But it breaks 1 rule that may be broken/);
  });

  it('says why each host will not do', () => {
    const plan = planOf({
      hosts: [
        { name: 'alpha' },
        { name: 'bravo', totalMiB: 100 },
        { name: 'charlie', state: 'unreachable' },
        { name: 'delta', maintenance: 'maintenance' },
      ],
    });
    assert.equal(plan.to, undefined);
    assert.match(
      plan.why,
      /none of 3 hosts will do for VM redis: .*does not fit on host bravo.*charlie does not answer.*delta is in maintenance/,
    );
    const failed = plan.candidates.map(({ host, eligible, checks }) => [
      host,
      eligible,
      checks.filter(({ verdict }) => verdict === 'fail').map(({ name }) => name),
    ]);
    assert.deepEqual(failed, [
      ['bravo', false, ['memory']],
      ['charlie', false, ['host-state']],
      ['delta', false, ['host-state']],
    ]);
    // What is the VM's own matter is said once.
    const still = planOf({ vms: [{ ...redis, state: 'stopped' }] });
    assert.match(still.why, /^no host will do for VM redis: VM redis is stopped on host alpha; only a running VM/);
  });

  it('refuses by the code of the first check that fails, naming the others', () => {
    const site = { hosts: [{ name: 'alpha' }, { name: 'bravo', totalMiB: 100, report: { protocolVersion: 2 } }], vms: [redis] };
    const { refusal } = decide(snapshotOf(site), 'redis', { to: 'bravo' });
    refused('incompatible', /version 2 of sealed channels.*Also \(memory\): VM redis does not fit/)(refusal);
    assert.equal(Array.isArray(refusal?.details?.['checks']), true);
    const full = decide(snapshotOf({ ...site, hosts: [{ name: 'alpha' }, { name: 'bravo', totalMiB: 100 }] }), 'redis', {});
    refused('no_room', /does not fit on host bravo/)(full.refusal);
  });

  it('refuses what makes no sense', () => {
    assert.throws(() => planOf({}, { to: 'alpha' }), refused('same_host', /redis is on host alpha already/));
    assert.throws(() => planOf({}, { to: 'zulu' }), refused('not_found', /no host zulu/));
    assert.throws(() => planMigration(snapshotOf({ hosts, vms: [] }), 'redis', {}), refused('not_found', /no VM redis/));
  });

  it('estimates from memory, work and the slower link', () => {
    const slow = [{ name: 'alpha' }, { name: 'bravo', report: { linkMbps: 1000 } }];
    const { estimate } = planOf({ hosts: slow, vms: [{ ...redis, cpus: 0, definition: { memoryMiB: 1000 } }] });
    assert.deepEqual(estimate, { bytes: 1_048_576_000, ms: 1000 + Math.round(1_048_576_000 / 125_000) });
    const busy = planOf(
      { hosts: slow, vms: [{ ...redis, definition: { memoryMiB: 1000 } }] },
      { limits: { bandwidthBytesPerSecond: 1_000_000 } },
    );
    assert.deepEqual(busy.estimate, { bytes: 2_097_152_000, ms: 2_098_152 });
  });
});

it('limits follow from the links, unless the cluster has its own', () => {
  assert.deepEqual([undefined, 100, 1000, 2500, 10_000, 100_000].map(derivedPerHost), [2, 2, 4, 4, 8, 8]);
  const { hosts: four } = snapshotOf({ hosts, vms: [] });
  const derived = limitsOf({ limits: {} }, four);
  assert.deepEqual([derived.perHost('alpha'), derived.perCluster], [8, 16]);
  const own = limitsOf({ limits: { perHost: 3, perCluster: 5 } }, four);
  assert.deepEqual([own.perHost('alpha'), own.perCluster], [3, 5]);
});
