import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, it } from 'node:test';
import { hostOf } from '../testing/records.ts';
import { storeCompliance } from '../testing/store-compliance.ts';
import { openSqlite } from './sqlite.ts';

storeCompliance('SQLite', () => openSqlite(':memory:'));

describe('store in a file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-store-'));
  after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'manager.db');

  it('keeps everything over a restart', async () => {
    const first = await openSqlite(path);
    await first.addHost(hostOf('alpha'));
    await first.close();
    const second = await openSqlite(path);
    assert.deepEqual(await second.listHosts(), [hostOf('alpha')]);
    await second.close();
  });

  it('takes over hosts, VMs and migrations of a database from before there were clusters and tasks', async () => {
    const old = join(directory, 'old.db');
    const database = new DatabaseSync(old);
    database.exec(`
      CREATE TABLE hosts (name text PRIMARY KEY, endpoint text NOT NULL, key_hash text NOT NULL, added_at bigint NOT NULL, last_seen_at bigint);
      CREATE TABLE vms (name text PRIMARY KEY, host text NOT NULL REFERENCES hosts (name), definition text NOT NULL, created_at bigint NOT NULL);
      CREATE TABLE migrations (id text PRIMARY KEY, vm text NOT NULL, from_host text NOT NULL, to_host text NOT NULL, spec text NOT NULL,
        phase text NOT NULL, clear_because text, result text, failure text, ordered_at bigint NOT NULL, begun_at bigint, ended_at bigint);
      CREATE TABLE resolutions (migration text PRIMARY KEY REFERENCES migrations (id), keep text NOT NULL, decided_at bigint NOT NULL,
        source_heard_at bigint, destination_heard_at bigint, source_refused text, destination_refused text);
      CREATE TABLE schema_steps (name varchar(255) PRIMARY KEY NOT NULL, timestamp varchar(255) NOT NULL);
      INSERT INTO schema_steps VALUES ('0001-hosts-vms-migrations', '2026-01-01T00:00:00.000Z'), ('0002-resolutions', '2026-01-01T00:00:00.000Z');
      INSERT INTO hosts VALUES ('alpha', '127.0.0.1:8652', '${'ab'.repeat(32)}', 1767225600000, NULL);
      INSERT INTO vms VALUES ('redis', 'alpha', '{}', 1);
      INSERT INTO migrations VALUES ('1', 'redis', 'alpha', 'bravo', '{}', 'lost', NULL, NULL, '{"code":"peer","message":"gone"}', 5, 6, 7),
        ('2', 'redis', 'alpha', 'bravo', '{}', 'copying', NULL, NULL, NULL, 8, 9, NULL)`);
    database.close();
    const store = await openSqlite(old);
    assert.deepEqual(await store.listHosts(), [hostOf('alpha')]);
    assert.deepEqual(
      (await store.policy.listClusters()).map(({ name }) => name),
      ['default'],
    );
    const tasks = await store.history.listTasks();
    assert.deepEqual(
      tasks.map(({ id, kind, state, title, failure, endedAt }) => [id, kind, state, title, failure?.code, endedAt]),
      [
        ['2', 'migrate', 'running', 'move VM redis from host alpha to host bravo', undefined, undefined],
        ['1', 'migrate', 'failed', 'move VM redis from host alpha to host bravo', 'peer', 7],
      ],
    );
    assert.equal(await store.removeHost('alpha'), false);
    await store.close();
  });

  it('refuses a database of a later version', async () => {
    const database = new DatabaseSync(path);
    database.exec("INSERT INTO schema_steps (name, timestamp) VALUES ('9999-later', '2030-01-01T00:00:00.000Z')");
    database.close();
    await assert.rejects(openSqlite(path), /9999-later/);
  });
});
