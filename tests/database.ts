/**
 * A database under load moves with both of its disks, which only its host has: every commit that the clients were told of is there afterwards, and file
 * systems, checksums, tables and indexes are whole. Takes a minute or two under emulation, so not a part of `npm test`; needs root:
 *
 *     tools/node --test tests/database.ts
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Migration } from '@sealift/contract';
import { accountOf } from '../lab/src/database/account.ts';
import { bootDatabase, connectionTo, type DatabaseGuest, disksOf, importDatabase } from '../lab/src/database/guest.ts';
import { databaseImage } from '../lab/src/database/image.ts';
import { DatabaseLoad } from '../lab/src/database/load.ts';
import { type DiskFile, diskProblems, serverProblems } from '../lab/src/database/verify.ts';
import { Fleet } from '../lab/src/fleet/fleet.ts';
import { labOf } from '../lab/src/lab/lifecycle.ts';

const signal = AbortSignal.timeout(280_000);
const guest: DatabaseGuest = { name: 'shop', index: 0, pool: 'default', format: 'qcow2' };
const params = { vm: guest.name };

it('disks that have lost a commit, a page or an inode are found out', async (test) => {
  const { programs, disks } = await databaseImage((text) => test.diagnostic(text));
  const folder = await mkdtemp(join(tmpdir(), 'sealift-database-'));
  try {
    const [tables, log] = disks.map((path): DiskFile => ({ path, format: 'raw' })) as [DiskFile, DiskFile]; // as many
    assert.deepEqual(await diskProblems(programs, [tables, log], []), []);
    const told = accountOf(1, 2, [{ client: 1, sequence: 1, atMs: 0, tookMs: 0 }]);
    assert.deepEqual(await diskProblems(programs, [tables, log], [told]), [
      'load 1, client 1: it was told of 1 commits, and the ledger ends at 0',
    ]);

    const damaged: DiskFile = { path: join(folder, 'damaged.raw'), format: 'raw' };
    const bytes = readFileSync(tables.path);
    const row = `customer ${createHash('md5').update('17').digest('hex')}`;
    const damages: readonly [damage: (copy: Buffer) => void, found: RegExp][] = [
      [(copy) => copy.write('C', copy.indexOf(row, 0, 'latin1'), 'latin1'), /pg_checksums .*ended with status/],
      // The root folder's inode, behind the super block's own account of where inodes are.
      [(copy) => copy.fill(0, inodesAt(copy) + 256, inodesAt(copy) + 512), /e2fsck .*ended with status/],
    ];
    for (const [damage, found] of damages) {
      const copy = Buffer.from(bytes);
      damage(copy);
      writeFileSync(damaged.path, copy);
      assert.match((await diskProblems(programs, [damaged, log], [])).join(), found);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** Of an ext4 of 4 KiB blocks: its first group's inode table, by that group's descriptor in the second block. */
const inodesAt = (disk: Buffer): number => disk.readUInt32LE(4096 + 8) * 4096;

it('a database under load moves with its disks, and nothing that its clients were told of is lost', async (test) => {
  const say = (text: string): void => test.diagnostic(text);
  const image = await databaseImage(say);
  const lab = labOf(`db${process.pid % 1000}`);
  await using fleet = await Fleet.up(
    lab,
    { host: 'alpha', guests: 0, encryption: () => 'opportunistic', agentOptions: () => [] },
    signal,
    say,
  );
  const { manager } = fleet;
  const client = lab.plan.client.namespace;
  await importDatabase(manager, image, 'alpha', guest.pool, signal);
  const bootMs = await bootDatabase(manager, image, guest, { host: 'alpha', client, signal });
  say(`PostgreSQL answered ${(bootMs / 1000).toFixed(1)} s after the VM was started`);

  const connection = connectionTo(guest, client);
  await using load = await DatabaseLoad.start({ programs: image.programs, connection, load: 1 });
  await sleep(5_000, undefined, { signal });
  const { id } = await manager.migrateVm({ params, body: { to: 'bravo' } }, signal);
  let ended: Migration | undefined;
  for await (const now of manager.watchMigration({ params: { migration: id } }, signal)) ended = now;
  assert.equal(ended?.phase, 'completed', JSON.stringify(ended?.failure));
  await sleep(5_000, undefined, { signal });
  const { account, problem } = await load.stop();
  assert.equal(problem, undefined);
  say(`migration ${JSON.stringify(ended?.result)}`);
  say(`commits each second ${account.seconds.map(({ commits }) => commits).join(' ')}; longest gap ${account.longestGapMs.toFixed(0)} ms`);
  assert.deepEqual(await serverProblems(image.programs, connection, [account]), []);

  const disks = await disksOf(manager, guest, signal);
  await manager.stopVm({ params, body: { force: false } }, signal);
  const serial = join(lab.paths.agentState('bravo'), 'vms', guest.name, 'serial.log');
  assert.match(readFileSync(serial, 'latin1'), /database system is shut down.*Power down/s, 'the guest has ended in order');
  assert.deepEqual(await diskProblems(image.programs, disks, [account]), []);
});
