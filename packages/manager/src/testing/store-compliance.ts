/** What every database must do, run on each of them. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Store } from '../store/store.ts';
import { historyCompliance } from './history-compliance.ts';
import { hostOf, migrationOf, vmOf } from './records.ts';

/** @param open an empty store; the suite closes it */
export function storeCompliance(database: string, open: () => Promise<Store>): void {
  describe(`store on ${database}`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
      await store.addHost(hostOf('alpha'));
      await store.addHost(hostOf('bravo'));
    });
    afterEach(() => store.close());

    it('gives back what it was given', async () => {
      assert.deepEqual(await store.listHosts(), [hostOf('alpha'), hostOf('bravo')]);
      await store.addVm(vmOf('redis', 'alpha'));
      assert.deepEqual(await store.listVms(), [vmOf('redis', 'alpha')]);
      assert.deepEqual(await store.getVm('redis'), vmOf('redis', 'alpha'));
      const stored = migrationOf('redis', { clearBecause: 'ordered clear' });
      assert.equal(await store.addMigration(stored), true);
      assert.deepEqual(await store.getMigration(stored.migration.id), stored);
      assert.deepEqual(await store.migrationOf('redis'), stored);
      await store.migrationBegins(stored.migration.id, 1_767_225_600_456);
      assert.deepEqual(await store.getMigration(stored.migration.id), { ...stored, begunAt: 1_767_225_600_456 });
      assert.equal(await store.getVm('none'), undefined);
      assert.equal(await store.getMigration('none'), undefined);
    });

    it('remembers when a host was last seen', async () => {
      await store.hostSeen('alpha', 1_767_225_600_123);
      assert.equal((await store.listHosts())[0]?.lastSeenAt, 1_767_225_600_123);
    });

    it('refuses a name that is taken', async () => {
      assert.equal(await store.addHost(hostOf('alpha')), false);
      assert.equal(await store.addVm(vmOf('redis', 'alpha')), true);
      assert.equal(await store.addVm(vmOf('redis', 'bravo')), false);
      assert.equal((await store.getVm('redis'))?.host, 'alpha');
    });

    it('keeps a host that has a VM, and takes no VM for a host that is gone', async () => {
      await store.addVm(vmOf('redis', 'alpha'));
      assert.equal(await store.removeHost('alpha'), false);
      await store.removeVm('redis');
      assert.equal(await store.removeHost('alpha'), true);
      assert.equal(await store.addVm(vmOf('redis', 'alpha')), false);
      assert.deepEqual(
        (await store.listHosts()).map((host) => host.name),
        ['bravo'],
      );
    });

    it('lets one of many migrations of a VM pass, and the next when that has ended', async () => {
      await store.addVm(vmOf('redis', 'alpha'));
      const all = Array.from({ length: 8 }, () => migrationOf('redis'));
      const passed = await Promise.all(all.map((stored) => store.addMigration(stored)));
      assert.equal(passed.filter(Boolean).length, 1);
      const [running] = await store.unfinishedMigrations();
      assert.ok(running);
      await store.updateMigration({ ...running.migration, phase: 'failed', endedAt: 1, failure: { code: 'stalled', message: 'no' } });
      assert.deepEqual(await store.unfinishedMigrations(), []);
      assert.equal(await store.migrationOf('redis'), undefined);
      assert.equal(await store.addMigration(migrationOf('redis')), true);
    });

    it('moves the VM in the same step that ends its migration', async () => {
      await store.addVm(vmOf('redis', 'alpha'));
      const stored = migrationOf('redis');
      await store.addMigration(stored);
      const ended = { ...stored.migration, phase: 'completed', endedAt: 5 } as const;
      await store.updateMigration(ended, 'bravo');
      await store.updateMigration({ ...stored.migration, phase: 'copying' }, 'alpha'); // late: an end is final
      assert.equal((await store.getVm('redis'))?.host, 'bravo');
      assert.deepEqual((await store.getMigration(stored.migration.id))?.migration, ended);
      // A host that does not exist is refused, and then the end is not recorded either.
      const next = migrationOf('redis');
      await store.addMigration(next);
      await assert.rejects(store.updateMigration({ ...next.migration, phase: 'completed', endedAt: 6 }, 'nowhere'));
      assert.equal((await store.getMigration(next.migration.id))?.migration.phase, 'preparing');
    });

    it('keeps one decision of a migration, and which hosts have heard it', async () => {
      await store.addVm(vmOf('redis', 'alpha'));
      const { migration, spec } = migrationOf('redis');
      await store.addMigration({ migration, spec });
      const resolution = async () => (await store.getMigration(migration.id))?.migration.resolution;
      assert.equal(await resolution(), undefined);
      assert.deepEqual(await store.untoldResolutions(), []);

      assert.equal(await store.addResolution(migration.id, 'source', 7), true);
      assert.equal(await store.addResolution(migration.id, 'destination', 8), false);
      assert.deepEqual(await resolution(), { keep: 'source', at: 7, waitingFor: ['alpha', 'bravo'] });
      assert.equal((await store.untoldResolutions())[0]?.migration.id, migration.id);
      assert.equal((await store.migrationOf('redis'))?.migration.resolution?.keep, 'source');

      await store.resolutionHeard(migration.id, 'source', 9);
      // The end of the migration changes nothing of it.
      await store.updateMigration({ ...migration, phase: 'failed', endedAt: 10, failure: { code: 'resolved', message: 'so decided' } });
      assert.deepEqual(await resolution(), { keep: 'source', at: 7, waitingFor: ['bravo'] });
      assert.equal((await store.untoldResolutions()).length, 1);
      await store.resolutionHeard(migration.id, 'destination', 11, 'it cannot');
      assert.deepEqual(await resolution(), { keep: 'source', at: 7, waitingFor: [], refused: ['bravo: it cannot'] });
      assert.deepEqual(await store.untoldResolutions(), []);

      await store.removeResolution(migration.id);
      assert.equal(await resolution(), undefined);
      assert.equal(await store.addResolution(migration.id, 'destination', 12), true);
      assert.equal(await store.addResolution('none', 'source', 1), false);
    });

    historyCompliance(() => store);

    it('lists migrations newest first', async () => {
      for (const [vm, orderedAt] of [
        ['a', 10],
        ['b', 30],
        ['c', 20],
      ] as const)
        await store.addMigration(migrationOf(vm, { orderedAt }));
      assert.deepEqual(
        (await store.listMigrations()).map(({ migration }) => migration.vm),
        ['b', 'c', 'a'],
      );
    });
  });
}
