import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import type { Migration } from '@sealift/contract';
import fc from 'fast-check';
import { definitionOf, hostOf, migrationOf, vmOf } from '../testing/records.ts';
import type { KyselyStore } from './kysely-store.ts';
import { RememberingStore } from './remembering.ts';
import { openSqlite } from './sqlite.ts';
import type { Store, StoredMigration } from './store.ts';

const names = ['a', 'b', 'c'];
const hosts = ['alpha', 'bravo'];
const vm = fc.constantFrom(...names);
const host = fc.constantFrom(...hosts);

type Step = (store: Store, moves: StoredMigration[]) => Promise<unknown>;

/** The unfinished migration of a VM that was ordered here, if there is one, and the store lets it pass. */
const current = (moves: StoredMigration[], name: string): Migration | undefined =>
  moves.findLast(({ migration }) => migration.vm === name)?.migration;

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(vm, host).map(
    ([name, on]): Step =>
      (store) =>
        store.addVm(vmOf(name, on)),
  ),
  vm.map(
    (name): Step =>
      (store) =>
        store.removeVm(name),
  ),
  fc.tuple(vm, fc.integer({ min: 32, max: 64 })).map(
    ([name, memoryMiB]): Step =>
      (store) =>
        store.changeVm(name, definitionOf(name, { memoryMiB })),
  ),
  vm.map(
    (name): Step =>
      async (store, moves) => {
        const stored = migrationOf(name, { orderedAt: moves.length });
        if (await store.addMigration(stored)) moves.push(stored);
      },
  ),
  fc.tuple(vm, fc.constantFrom('begins', 'copying', 'completed', 'failed', 'resolved')).map(
    ([name, what]): Step =>
      async (store, moves) => {
        const known = current(moves, name);
        if (!known) return;
        const failure = { code: 'peer', message: 'gone' };
        if (what === 'begins') await store.migrationBegins(known.id, 5);
        else if (what === 'resolved') await store.addResolution(known.id, 'source', 6);
        else if (what === 'copying') await store.updateMigration({ ...known, phase: 'copying' });
        else if (what === 'failed') await store.updateMigration({ ...known, phase: 'failed', endedAt: 7, failure });
        else await store.updateMigration({ ...known, phase: 'completed', endedAt: 7 }, 'bravo');
      },
  ),
);

const all = async (store: Store) => ({
  vms: await store.listVms(),
  page: await store.listVms({ after: 'a', limit: 1 }),
  each: await Promise.all(hosts.map((on) => store.listVms({ host: on }))),
  one: await Promise.all(names.map((name) => store.getVm(name))),
  known: await store.knownVms(['a', 'x', 'c']),
  count: await store.countVms(),
  moving: await Promise.all(names.map((name) => store.migrationOf(name))),
  unfinished: (await store.unfinishedMigrations()).sort((a, b) => (a.migration.vm < b.migration.vm ? -1 : 1)),
  clusters: await store.policy.listClusters(),
});

it('what is remembered is what the database has: a store that is opened anew says the same, whatever was written together', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-remembering-'));
  try {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 6 }), async (batches) => {
        const path = join(directory, `${run++}.db`);
        const store = await openSqlite(path);
        for (const name of hosts) await store.addHost(hostOf(name));
        const moves: StoredMigration[] = [];
        for (const batch of batches) await Promise.all(batch.map((each) => each(store, moves)));
        const said = await all(store);
        await store.close();
        const again = await openSqlite(path);
        assert.deepEqual(said, await all(again));
        await again.close();
      }),
      { numRuns: 25 },
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

it('of writes that are one commit, each has its own outcome, and one that is refused takes nothing of the others back', async () => {
  const store = await openSqlite(':memory:');
  try {
    const done = await Promise.all([
      store.addHost(hostOf('alpha')),
      store.addHost(hostOf('alpha')),
      store.addVm(vmOf('a', 'alpha')),
      store.addVm(vmOf('b', 'none')),
    ]);
    assert.deepEqual(done, [true, false, true, false]);
    const stored = migrationOf('a');
    const both = [store.addMigration(stored), store.addMigration(migrationOf('a'))];
    await assert.rejects(store.history.addEvents([{ at: 1, subject: {} } as never]), /NOT NULL/);
    assert.deepEqual(await Promise.all(both), [true, false]);
    assert.equal((await store.history.eventBounds()).newest, 0, 'the numbers that it had counted are taken back');
    assert.deepEqual(await store.migrationOf('a'), stored);
    assert.deepEqual(
      (await store.history.listTasks()).map(({ id }) => id),
      [stored.migration.id],
    );
  } finally {
    await store.close();
  }
});

it('what could not be read is not remembered as that: it is read again', async () => {
  let fails = true;
  const list = async () => {
    if (fails) throw new Error('database is locked');
    return [];
  };
  const policy = { listClusters: list, listRules: list };
  const inner = { policy, listVms: async () => [], unfinishedMigrations: async () => [] };
  const store = await RememberingStore.open(inner as unknown as KyselyStore); // all that is asked of it here
  await assert.rejects(store.policy.listClusters(), /locked/);
  await assert.rejects(store.policy.listRules(), /locked/);
  fails = false;
  assert.deepEqual(await store.policy.listClusters(), []);
  assert.deepEqual(await store.policy.listRules(), []);
});
