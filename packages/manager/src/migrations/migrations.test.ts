import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LimitsChange, Migration, MigrationOrder } from '@sealift/contract';
import { SealiftError } from '@sealift/contract';
import { openSqlite } from '../store/sqlite.ts';
import { migrationOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';

const phases = (states: Migration[]) => states.map((state) => state.phase);

describe('migrations', { timeout: 120_000 }, () => {
  let site: Site;
  beforeEach(async () => {
    site = await Site.start();
  });
  afterEach(() => site.close());
  const migrate = (vm: string, to: string, order: Partial<MigrationOrder> = {}) =>
    site.client.migrateVm({ params: { vm }, body: { to, ...order } });

  it('moves a VM sealed, back sealed, and forth again in clear', async () => {
    await site.running('redis');
    const there = await migrate('redis', 'bravo');
    assert.equal(there.phase, 'preparing');
    assert.equal(there.suite, 'aes-256-gcm');
    assert.equal(there.clearBecause, undefined);
    const last = (await site.watch(there.id)).at(-1);
    assert.equal(last?.phase, 'completed');
    const { migrationMs = 0 } = last?.result ?? {};
    // The source's 2000 ms and what the destination took to make ready before.
    assert.ok(migrationMs >= 2000 && migrationMs <= 2000 + (last?.endedAt ?? 0) - (last?.orderedAt ?? 0));
    assert.deepEqual(last?.result, {
      suite: 'aes-256-gcm',
      channels: 4,
      migrationMs,
      switchOverMs: 40.5,
      switchOverErrorMs: 0.25,
      bytesOnWire: 6_000_000,
      records: 24,
      throughputMBps: 3,
      cpuSeconds: { source: { qemu: 0.25, transport: 0.5 }, destination: { qemu: 0.125, transport: 0.75 } },
    });
    assert.ok(last.endedAt !== undefined && last.endedAt >= last.orderedAt);
    const moved = await site.client.getVm({ params: { vm: 'redis' } });
    assert.deepEqual([moved.host, moved.state, moved.migration], ['bravo', 'running', undefined]);

    await site.watch((await migrate('redis', 'alpha')).id);
    assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).host, 'alpha');

    const clear = await migrate('redis', 'bravo', { clear: true, multifdChannels: 0, limits: { downtimeMs: 100 } });
    assert.deepEqual([clear.suite, clear.clearBecause], ['none', 'it was ordered clear']);
    const result = (await site.watch(clear.id)).at(-1)?.result;
    assert.deepEqual([result?.suite, result?.channels], ['none', 2]);
    assert.deepEqual(
      (await site.client.listMigrations()).map((each) => each.phase),
      ['completed', 'completed', 'completed'],
    );
    assert.equal((await site.client.listMigrations())[0]?.id, clear.id);
  });

  it('shows the progress while it runs, also to who comes later, and who is moved', async () => {
    await site.running('redis');
    site.alpha.host.hold('switching-over');
    const { id } = await migrate('redis', 'bravo');
    const copying = await site.reaches(id, 'copying');
    assert.equal(copying.progress?.ram.transferred, 2_000_000);
    const vm = await site.client.getVm({ params: { vm: 'redis' } });
    assert.deepEqual([vm.host, vm.migration], ['alpha', id]);
    assert.equal((await site.client.status()).migrating, 1);
    const watched = site.watch(id);
    site.alpha.host.release();
    const states = await watched;
    assert.equal(states.at(-1)?.phase, 'completed');
    assert.deepEqual(phases(await site.watch(id)), ['completed']);
  });

  it('lets one of many orders at the same moment pass', async () => {
    await site.running('redis');
    site.alpha.host.hold('copying');
    const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => migrate('redis', 'bravo')));
    const passed = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value.id] : []));
    assert.equal(passed.length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      refused('migrating', /already moving from host alpha to host bravo/)(outcome.reason);
      assert.equal(outcome.reason.details.migration, passed[0]);
    }
    await site.reaches(passed[0] ?? '', 'connecting');
    assert.equal(site.bravo.host.attempts.size, 1);
    // Nor is a VM that moves started, stopped or removed, nor a host forgotten that takes part.
    const params = { vm: 'redis' };
    await assert.rejects(
      site.client.stopVm({ params, body: { force: true } }),
      refused('migrating', /moving from host alpha to host bravo/),
    );
    await assert.rejects(site.client.startVm({ params }), refused('migrating', /moving/));
    await assert.rejects(site.client.removeVm({ params }), refused('migrating', /moving/));
    await assert.rejects(site.client.removeHost({ params: { host: 'bravo' } }), refused('migrating', /needs host bravo/));
    site.alpha.host.release();
    assert.equal((await site.watch(passed[0] ?? '')).at(-1)?.phase, 'completed');
  });

  it('cancels while copying, and then leaves nothing at the destination', async () => {
    await site.running('redis');
    site.alpha.host.hold('switching-over');
    const { id } = await migrate('redis', 'bravo');
    await site.reaches(id, 'copying');
    await site.client.cancelMigration({ params: { migration: id } });
    const last = (await site.watch(id)).at(-1);
    assert.equal(last?.phase, 'cancelled');
    assert.equal(last?.failure?.code, 'cancelled');
    const vm = await site.client.getVm({ params: { vm: 'redis' } });
    assert.deepEqual([vm.host, vm.state], ['alpha', 'running']);
    assert.equal(site.bravo.host.vms.size, 0);
    await assert.rejects(
      site.client.cancelMigration({ params: { migration: id } }),
      refused('wrong_state', /already ended: cancelled; VM redis stayed at host alpha.*sealift vm show redis/),
    );
  });

  it('refuses to cancel after the grant', async () => {
    await site.running('redis');
    site.alpha.host.hold('releasing');
    const { id } = await migrate('redis', 'bravo');
    await site.reaches(id, 'granted');
    await assert.rejects(site.client.cancelMigration({ params: { migration: id } }), refused('wrong_state', /granted/));
    site.alpha.host.release();
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
  });

  it('undoes the destination when the source refuses', async () => {
    await site.running('redis');
    site.alpha.host.failures.set('outgoing', new SealiftError('hypervisor', 'QEMU does not answer'));
    const { id } = await migrate('redis', 'bravo');
    const last = (await site.watch(id)).at(-1);
    assert.equal(last?.phase, 'failed');
    assert.deepEqual(last?.failure, { code: 'hypervisor', message: 'QEMU does not answer' });
    assert.equal(site.bravo.host.vms.size, 0);
    site.alpha.host.failures.clear();
    assert.equal((await site.watch((await migrate('redis', 'bravo')).id)).at(-1)?.phase, 'completed');
  });

  it('says why the destination refuses', async () => {
    await site.running('redis');
    site.bravo.host.failures.set('incoming', new SealiftError('no_room', 'the memory has just been taken'));
    const last = (await site.watch((await migrate('redis', 'bravo')).id)).at(-1);
    assert.deepEqual([last?.phase, last?.failure?.code], ['failed', 'no_room']);
    assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).state, 'running');
  });

  it('asks for the outcome where the answer to the order was lost', async () => {
    await site.running('redis');
    site.alpha.lostAnswers.add('outgoing');
    assert.equal((await site.watch((await migrate('redis', 'bravo')).id)).at(-1)?.phase, 'completed');
  });

  it('ends as failed, with the destination undone, where the source turns out not to have begun', async () => {
    await site.running('redis');
    site.alpha.host.failures.set('outgoing', new SealiftError('internal', 'the agent failed unexpectedly'));
    const last = (await site.watch((await migrate('redis', 'bravo')).id)).at(-1);
    assert.deepEqual([last?.phase, last?.failure?.code], ['failed', 'internal']);
    assert.equal(site.bravo.host.vms.size, 0);
  });

  it('follows on through the restart of an agent', async () => {
    await site.running('redis');
    site.alpha.host.hold('switching-over');
    const { id } = await migrate('redis', 'bravo');
    await site.reaches(id, 'copying');
    await site.alpha.stop();
    site.alpha.host.release();
    await site.alpha.start();
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).host, 'bravo');
  });

  it('learns the outcome after its own restart', async () => {
    await site.running('redis');
    site.alpha.host.hold('switching-over');
    const { id } = await migrate('redis', 'bravo');
    await site.reaches(id, 'copying');
    await site.stopManager();
    site.alpha.host.release();
    await site.startManager();
    const last = (await site.watch(id)).at(-1);
    assert.equal(last?.phase, 'completed');
    assert.ok((last?.result?.migrationMs ?? 0) >= 2000);
    assert.equal((await site.client.getVm({ params: { vm: 'redis' } })).host, 'bravo');
  });

  it('ends what had not begun when it was restarted, and undoes the destination', async () => {
    await site.running('redis');
    site.alpha.host.hold('connecting');
    const { id } = await migrate('redis', 'bravo');
    await site.reaches(id, 'preparing');
    await site.stopManager();
    // As if the manager had died between telling the destination and telling the source.
    site.alpha.host.attempts.clear();
    Object.assign(site.alpha.host.vms.get('redis') ?? {}, { state: 'running', migration: undefined });
    await site.startManager();
    const last = (await site.watch(id)).at(-1);
    assert.equal(last?.phase, 'failed');
    assert.match(last?.failure?.message ?? '', /had not begun/);
    assert.equal(site.bravo.host.vms.size, 0);
  });

  it('ends what neither host had been told of when it was restarted', async () => {
    await site.running('redis');
    await site.stopManager();
    const store = await openSqlite(join(site.directory, 'state', 'manager.db'));
    const keys = new Map((await store.listHosts()).map(({ name, keyHash }) => [name, keyHash]));
    const { migration, spec } = migrationOf('redis');
    const named = (name: string) => ({ name, keyHash: keys.get(name) ?? '' });
    await store.addMigration({ migration, spec: { ...spec, source: named('alpha'), destination: named('bravo') } });
    await store.close();
    await site.startManager();
    const last = (await site.watch(migration.id)).at(-1);
    assert.equal(last?.phase, 'failed');
    assert.match(last?.failure?.message ?? '', /had not begun/);
    const { host, state, problem } = await site.client.getVm({ params: { vm: 'redis' } });
    assert.deepEqual([host, state, problem], ['alpha', 'running', undefined]);
  });

  it('undoes a destination that had been told when it was restarted, and learns of a source whose answer it never heard', async () => {
    for (const told of ['destination', 'both'] as const) {
      await site.running(told);
      const { host } = site.alpha;
      // The manager goes down at the moment at which it tells the source.
      host.failures.set('outgoing', new SealiftError('internal', 'the line was cut'));
      if (told === 'both') host.failures.clear();
      host.hold('copying');
      site.alpha.lostAnswers.add('outgoing');
      const { id } = await site.client.migrateVm({ params: { vm: told }, body: { to: 'bravo' } });
      while (!host.calls.includes('outgoing')) await sleep(5);
      await site.stopManager();
      host.failures.clear();
      host.calls.length = 0;
      site.alpha.lostAnswers.clear();
      host.release();
      await site.startManager();
      const last = (await site.watch(id)).at(-1);
      assert.equal(last?.phase, told === 'both' ? 'completed' : 'failed', last?.failure?.message);
      assert.equal(site.bravo.host.vms.has(told), told === 'both');
      assert.equal((await site.client.getVm({ params: { vm: told } })).problem, undefined);
    }
  });

  it('tells each agent where the other answers', async () => {
    await site.running('redis');
    const { id } = await migrate('redis', 'bravo');
    await site.watch(id);
    assert.equal(site.alpha.host.attempts.get(id)?.peer, site.bravo.endpoint);
    assert.equal(site.bravo.host.attempts.get(id)?.peer, site.alpha.endpoint);
  });

  it('changes limits while it copies, and says why not before and after', async () => {
    await site.running('redis');
    const adjust = (migration: string, body: LimitsChange) => site.client.adjustMigration({ params: { migration }, body });
    site.alpha.host.hold('switching-over');
    const { id } = await migrate('redis', 'bravo');
    await assert.rejects(adjust(id, {}), refused('invalid_request', /must NOT have fewer than 1/));
    await site.reaches(id, 'copying');
    assert.equal((await adjust(id, { bandwidthBytesPerSecond: 5_000_000, deadlineMs: 9000 })).id, id);
    assert.deepEqual(site.alpha.host.attempts.get(id)?.adjusted, { bandwidthBytesPerSecond: 5_000_000, deadlineMs: 9000 });
    site.alpha.host.release();
    site.alpha.host.hold('releasing');
    await site.reaches(id, 'granted');
    await assert.rejects(adjust(id, { deadlineMs: 9000 }), refused('wrong_state', /redis is past copying \(granted\)/));
    site.alpha.host.release();
    await site.watch(id);
    await assert.rejects(
      adjust(id, { deadlineMs: 9000 }),
      refused('wrong_state', /already ended: completed; VM redis was moved to host bravo/),
    );
  });

  it('gives both hosts the same key', async () => {
    await site.running('redis');
    const { id } = await migrate('redis', 'bravo');
    await site.watch(id);
    const [source, destination] = [site.alpha.host.attempts.get(id), site.bravo.host.attempts.get(id)];
    // Both unwrapped the same key under the same context; the pretended hosts would not have moved the VM otherwise.
    assert.equal(source?.secret, destination?.secret);
  });
});
