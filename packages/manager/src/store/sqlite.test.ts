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

  it('refuses a database of a later version', async () => {
    const database = new DatabaseSync(path);
    database.exec("INSERT INTO schema_steps (name, timestamp) VALUES ('9999-later', '2030-01-01T00:00:00.000Z')");
    database.close();
    await assert.rejects(openSqlite(path), /9999-later/);
  });
});
