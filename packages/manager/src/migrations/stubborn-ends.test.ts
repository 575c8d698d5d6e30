import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SealiftError } from '@sealift/contract';
import { Site } from '../testing/site.ts';

describe('the end of a migration', { timeout: 30_000 }, () => {
  let site: Site;
  before(async () => {
    site = await Site.start({ more: ['charlie'] });
  });
  after(() => site.close());

  it('is recorded once the database takes it again, also of one that has not begun', async () => {
    await site.running('web');
    const database = new DatabaseSync(join(site.directory, 'state', 'manager.db'), { timeout: 5_000 });
    try {
      database.exec(
        "CREATE TRIGGER full BEFORE UPDATE ON migrations WHEN NEW.ended_at IS NOT NULL BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
      );
      site.bravo.lostAnswers.add('incoming');
      const { id } = await site.client.migrateVm({ params: { vm: 'web' }, body: { to: 'bravo' } });
      while (!site.bravo.host.calls.includes('cancelAttempt')) await sleep(10);
      await sleep(300);
      database.exec('DROP TRIGGER full');
      const last = (await site.watch(id)).at(-1);
      assert.deepEqual([last?.phase, last?.failure?.code], ['failed', 'agent_unreachable']);
    } finally {
      database.close();
      site.bravo.lostAnswers.clear();
    }
    // Nothing is in the way of the next order.
    const { id } = await site.client.migrateVm({ params: { vm: 'web' }, body: { to: 'bravo' } });
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
  });

  it('is told also where its destination was removed while that was being told', async () => {
    const charlie = site.more[0];
    assert.ok(charlie);
    await site.running('redis');
    site.alpha.host.hold('switching-over');
    const { id } = await site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'charlie' } });
    await site.reaches(id, 'copying');
    const port = Number(charlie.endpoint.split(':')[1]);
    await charlie.stop();
    // It is connected to, and says nothing.
    const deaf = createServer((socket) => void socket.on('error', () => undefined)).listen(port, '127.0.0.1');
    await once(deaf, 'listening');
    try {
      await site.client.cancelMigration({ params: { migration: id } });
      while (!(await removed('charlie'))) await sleep(20);
      assert.equal((await site.watch(id)).at(-1)?.phase, 'cancelled');
      const ends = (await site.client.listEvents({ query: { migration: id } })).filter(({ type }) => type === 'migration.ended');
      assert.equal(ends.length, 1);
    } finally {
      deaf.close();
    }
  });

  async function removed(host: string): Promise<boolean> {
    try {
      await site.client.removeHost({ params: { host } });
      return true;
    } catch (error) {
      if (error instanceof SealiftError && error.code === 'migrating') return false;
      throw error;
    }
  }
});
