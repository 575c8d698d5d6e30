import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Rule } from '@sealift/contract';
import fc from 'fast-check';
import type { Hosts } from '../agents/hosts.ts';
import type { MonitoredHost } from '../agents/monitor.ts';
import type { Store } from '../store/store.ts';
import { decide } from './migration.ts';
import { type Scope, takeSnapshot } from './snapshot.ts';
import { ruleOf, type SiteHost, snapshotOf } from './testing/sites.ts';
import type { SnapshotMigration } from './types.ts';

const hostNames = ['h0', 'h1', 'h2', 'h3'];
const vmNames = Array.from({ length: 12 }, (_, index) => `vm${index}`);
const place = fc.integer({ min: 0, max: hostNames.length - 1 });

const site = fc.record({
  places: fc.array(place, { minLength: vmNames.length, maxLength: vmNames.length }),
  loads: fc.array(fc.option(fc.integer({ min: 0, max: 100 })), { minLength: hostNames.length, maxLength: hostNames.length }),
  rules: fc.array(
    fc.record({
      kind: fc.constantFrom<Rule['kind']>('together', 'apart'),
      vms: fc.subarray(vmNames, { minLength: 2, maxLength: 4 }),
      must: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
  moving: fc.array(fc.record({ vm: fc.constantFrom(...vmNames.slice(1)), to: place }), { maxLength: 3 }),
});

it('where one VM is to go is decided the same without the VMs that nothing depends on', async () => {
  await fc.assert(
    fc.asyncProperty(site, async ({ places, loads, rules, moving }) => {
      const hosts = hostNames.map((name, index): SiteHost => {
        const cpu = loads[index] ?? null;
        return { name, report: cpu === null ? {} : { load: { cpu: cpu / 100, linkBytesPerSecond: 0 } } };
      });
      const vms = vmNames.map((name, index) => ({ name, host: hostNames[places[index] ?? 0] ?? '', cpus: index / 8 }));
      const whole = snapshotOf({
        hosts,
        vms,
        rules: rules.map(({ kind, vms: all, must }, index) => ruleOf(`r${index}`, kind, all, { must })),
      });
      const migrations = moving.flatMap(({ vm, to }, index): SnapshotMigration[] => {
        const from = vms.find(({ name }) => name === vm)?.host ?? '';
        const there = hostNames[to] ?? '';
        const again = moving.findIndex((other) => other.vm === vm) < index;
        return there === from || again ? [] : [{ id: `m${index}`, vm, from, to: there, phase: 'copying' }];
      });
      const watched = whole.hosts.map(({ name, cluster, maintenance, state, report }) => ({
        ...{ name, cluster, maintenance },
        standing: async () => ({ name, state, report }),
        vmCalled: (vm: string) => report?.vms.find(({ definition }) => definition.name === vm),
      }));
      const policy = { listRules: async () => whole.rules, listClusters: async () => whole.clusters };
      const sources = {
        store: { policy } as unknown as Store, // what a snapshot without owners reads
        hosts: { all: () => watched as unknown as MonitoredHost[], find: () => undefined } as unknown as Hosts,
        migrations,
      };
      const stored = whole.vms
        .filter(({ name }) => name === 'vm0')
        .map(({ name, host, definition }) => ({ name, host, definition, createdAt: 0 }));
      const scope: Scope = { clusters: new Set(['default']), vms: stored };
      const all = await takeSnapshot(sources, scope);
      const few = await takeSnapshot(sources, { ...scope, alone: 'vm0' });
      const planOf = (snapshot: typeof all) => decide({ ...snapshot, at: 0 }, 'vm0', {}).plan;
      assert.deepEqual(planOf(few), planOf(all));
    }),
  );
});
