import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Move, VmDefinition } from '@sealift/contract';
import fc from 'fast-check';
import { Evenness } from './evenness.ts';
import { planBalance, planDrain, planMigration } from './index.ts';
import { applied, ruleOf, type SiteOf, type SiteVm, snapshotOf } from './testing/sites.ts';
import { World } from './world.ts';

const MiB = 1024 * 1024;
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Sites of up to six hosts of all kinds, and VMs of all kinds on them. */
const sites: fc.Arbitrary<SiteOf> = fc
  .record({ hosts: fc.integer({ min: 1, max: 6 }), vms: fc.integer({ min: 0, max: 24 }) })
  .chain((count) => {
    const hostNames = names('h', count.hosts);
    const vmNames = names('v', count.vms);
    const host = (name: string) =>
      fc.record({
        name: fc.constant(name),
        totalMiB: fc.integer({ min: 4000, max: 20_000 }),
        maintenance: fc.constantFrom('none' as const, 'none' as const, 'none' as const, 'maintenance' as const),
        state: fc.constantFrom('connected' as const, 'connected' as const, 'connected' as const, 'unreachable' as const),
        report: fc.record({
          canSeal: fc.boolean(),
          bridges: fc.constantFrom<string[]>(['br0'], ['br0'], []),
          cpus: fc.constantFrom(8, 16, 32),
          linkMbps: fc.constantFrom(1000, 10_000),
        }),
      });
    const vm = (name: string) =>
      fc.record({
        name: fc.constant(name),
        host: fc.constantFrom(...hostNames),
        cpus: fc.double({ min: 0, max: 4, noNaN: true }),
        encryption: fc.constantFrom('required' as const, 'opportunistic' as const, 'disabled' as const),
        state: fc.constantFrom('running' as const, 'running' as const, 'running' as const, 'paused' as const, 'stopped' as const),
        definition: fc.record({
          memoryMiB: fc.integer({ min: 128, max: 6000 }),
          vcpus: fc.constantFrom(1, 4),
          nics: fc.constantFrom<VmDefinition['nics']>([], [{ bridge: 'br0', mac: '52:54:00:00:00:01' }]),
        }),
      });
    const subset = fc.subarray(vmNames, { minLength: Math.min(2, count.vms) });
    const rule = (index: number) =>
      fc
        .record({
          kind: fc.constantFrom('apart' as const, 'together' as const, 'not-on-hosts' as const),
          vms: subset,
          hosts: fc.subarray(hostNames),
          must: fc.boolean(),
        })
        .map(({ kind, vms, ...rest }) => ruleOf(`r${index}`, kind, vms.slice(0, 3), rest));
    return fc
      .record({
        hosts: fc.tuple(...hostNames.map(host)),
        vms: fc.tuple(...vmNames.map(vm)),
        rules: fc.tuple(rule(0), rule(1)),
      })
      .map((site) => ({ ...site, vms: fitting(site) }));
  });

/** Those of the VMs that their hosts have memory for. */
function fitting({ hosts, vms }: SiteOf): SiteVm[] {
  const left = new Map(hosts.map(({ name, totalMiB = 0 }) => [name, totalMiB]));
  return vms.filter(({ host, definition, state }) => {
    const after = (left.get(host) ?? 0) - (state === 'stopped' ? 0 : (definition?.memoryMiB ?? 0));
    if (after >= 0) left.set(host, after);
    return after >= 0;
  });
}

/** Makes the moves one by one, and holds each to the site as it is then; written without the planner's checks. */
function hold(site: SiteOf, moves: readonly Move[], freed: boolean): void {
  const place = new Map(site.vms.map((vm) => [vm.name, vm.host]));
  const host = new Map(site.hosts.map((each) => [each.name, each]));
  const vm = new Map(site.vms.map((each) => [each.name, each]));
  const live = (name: string) => vm.has(name) && vm.get(name)?.state !== 'stopped';
  const used = (name: string) =>
    site.vms
      .filter((each) => live(each.name) && place.get(each.name) === name)
      .reduce((sum, each) => sum + (each.definition?.memoryMiB ?? 0), 0);
  for (const move of moves) {
    const [moved, from, to] = [vm.get(move.vm), host.get(move.from), host.get(move.to)];
    assert.ok(moved && from && to && from !== to);
    assert.equal(place.get(move.vm), move.from);
    assert.equal(to.maintenance, 'none');
    assert.deepEqual([from.state, to.state], ['connected', 'connected']);
    assert.ok(moved.state === 'running' || moved.state === 'paused');
    const sealing = from.report?.canSeal === true && to.report?.canSeal === true;
    assert.equal(move.suite, sealing && moved.encryption !== 'disabled' ? 'aes-256-gcm' : 'none');
    if (moved.encryption === 'required') assert.equal(move.suite, 'aes-256-gcm');
    assert.equal(move.clearBecause === undefined, move.suite !== 'none');
    for (const { bridge } of moved.definition?.nics ?? []) assert.ok(to.report?.bridges?.includes(bridge));
    place.set(move.vm, move.to);
    assert.ok(used(move.to) <= (to.totalMiB ?? 0), `${move.to} holds ${used(move.to)} MiB`);
    for (const rule of site.rules ?? []) {
      if (!rule.must || !rule.vms.includes(move.vm)) continue;
      const mates = rule.vms.filter((each) => each !== move.vm && live(each));
      if (rule.kind === 'apart') assert.ok(mates.every((each) => place.get(each) !== move.to));
      if (rule.kind === 'not-on-hosts') assert.ok(!rule.hosts.includes(move.to));
      // In a drain the others may still be where it came from, and follow.
      if (rule.kind === 'together')
        assert.ok(mates.every((each) => place.get(each) === move.to || (freed && place.get(each) === move.from)));
    }
  }
  if (!freed) return;
  for (const { kind, must, vms } of site.rules ?? []) {
    const moved = vms.filter((each) => moves.some((move) => move.vm === each));
    const mates = vms.filter(live);
    if (kind === 'together' && must && moved.length > 0) assert.equal(new Set(mates.map((each) => place.get(each))).size, 1);
  }
}

/** The sum of how far hosts are out of the band. */
function outside(site: SiteOf): number {
  const hosts = new World(snapshotOf(site)).hostsOf('default').filter((host) => host.open);
  const even = new Evenness(hosts, 0.15);
  return hosts.reduce((sum, host) => sum + even.distance(host), 0);
}

describe('whatever the site', () => {
  it('a plan of one migration breaks no hard check, and is the same in any order of hosts and VMs', () => {
    fc.assert(
      fc.property(sites, (site) => {
        for (const { name, host } of site.vms.slice(0, 4)) {
          const plan = planMigration(snapshotOf(site), name, {});
          const { to, suite, why, estimate, clearBecause } = plan;
          if (to !== undefined && suite !== undefined)
            hold(
              site,
              [
                {
                  vm: name,
                  from: host,
                  to,
                  suite,
                  why,
                  ...(estimate && { estimate }),
                  ...(clearBecause !== undefined && { clearBecause }),
                },
              ],
              false,
            );
          else assert.ok(plan.candidates.every(({ eligible, checks }) => !eligible && checks.some(({ verdict }) => verdict === 'fail')));
          const turned = { ...site, hosts: [...site.hosts].reverse(), vms: [...site.vms].reverse() };
          assert.deepEqual(planMigration(snapshotOf(turned), name, {}), plan);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('a drain breaks no hard check, never gives a host more memory than it has, and forgets no VM', () => {
    fc.assert(
      fc.property(sites, (site) => {
        const plan = planDrain(snapshotOf(site), 'h0', {});
        hold(site, plan.moves, true);
        const told = [...plan.moves, ...plan.stays].map(({ vm }) => vm).sort();
        assert.deepEqual(
          told,
          site.vms
            .filter(({ host }) => host === 'h0')
            .map(({ name }) => name)
            .sort(),
        );
        assert.ok(plan.stays.every(({ why }) => why !== ''));
      }),
      { numRuns: 200 },
    );
  });

  it('a balance breaks nothing, moves each VM once at most, and leaves nothing for the next one', () => {
    fc.assert(
      fc.property(sites, (site) => {
        const plan = planBalance(snapshotOf(site), 'default');
        hold(site, plan.moves, false);
        assert.equal(new Set(plan.moves.map(({ vm }) => vm)).size, plan.moves.length);
        const after = snapshotOf(applied(site, plan.moves));
        const next = planBalance(after, 'default');
        assert.deepEqual(next.moves, []);
        assert.equal(next.balanced, plan.balanced);
        // What the plan says of the loads is what comes of it.
        for (const [index, { load }] of next.before.entries()) {
          assert.ok(Math.abs(load.cpu - (plan.after[index]?.load.cpu ?? -1)) < 1e-5);
          assert.ok(Math.abs(load.memory - (plan.after[index]?.load.memory ?? -1)) < 1e-5);
        }
        // Every move brings the hosts closer to the band.
        const steps = Array.from({ length: plan.moves.length + 1 }, (_, count) => outside(applied(site, plan.moves.slice(0, count))));
        for (const [index, step] of steps.entries()) assert.ok(index === 0 || step < (steps[index - 1] ?? 0));
        if (plan.balanced) assert.ok((steps.at(-1) ?? 0) <= 0.001 * site.hosts.length);
      }),
      { numRuns: 200 },
    );
  });
});

it('a site holds what is said of it', () => {
  const { hosts } = snapshotOf({ hosts: [{ name: 'a', totalMiB: 100 }], vms: [{ name: 'v', host: 'a', definition: { memoryMiB: 40 } }] });
  assert.equal(hosts[0]?.report?.memory.available, 60 * MiB);
});
