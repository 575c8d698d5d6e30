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
import { until } from '../lab/src/chaos/until.ts';
import { accountOf } from '../lab/src/database/account.ts';
import { databaseDefinition, databaseHost } from '../lab/src/database/guest.ts';
import { databaseImage } from '../lab/src/database/image.ts';
import { DatabaseLoad } from '../lab/src/database/load.ts';
import { type DiskFile, diskProblems, serverProblems } from '../lab/src/database/verify.ts';
import { Fleet } from '../lab/src/fleet/fleet.ts';
import { labOf } from '../lab/src/lab/lifecycle.ts';

const signal = AbortSignal.timeout(280_000);
const vm = 'shop';
const params = { vm };

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
  const names = ['tables', 'log'] as const;
  for (const [index, name] of names.entries()) {
    const body = { pool: 'default', name: `${name}.raw`, path: image.disks[index] ?? '' };
    await manager.importImage({ params: { host: 'alpha' }, body }, signal);
  }
  const diskOf = (name: string) => ({ pool: 'default', name, image: `${name}.raw`, format: 'qcow2', shared: false }) as const;
  const definition = databaseDefinition(image, { name: vm, index: 0, disks: [diskOf('tables'), diskOf('log')] });
  await manager.createVm({ body: { host: 'alpha', definition } }, signal);
  const begun = performance.now();
  await manager.startVm({ params }, signal);
  const connection = { host: databaseHost({ index: 0 }), through: ['ip', 'netns', 'exec', lab.plan.client.namespace] };
  const answers = () => image.programs.query('select 1;', connection).catch(() => undefined);
  assert.ok(await until(answers, { withinMs: 120_000, everyMs: 250, signal }), 'PostgreSQL answers');
  say(`PostgreSQL answered ${((performance.now() - begun) / 1000).toFixed(1)} s after the VM was started`);

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

  const { disks = [] } = await manager.getVm({ params }, signal);
  await manager.stopVm({ params, body: { force: false } }, signal);
  const serial = join(lab.paths.agentState('bravo'), 'vms', vm, 'serial.log');
  assert.match(readFileSync(serial, 'latin1'), /database system is shut down.*Power down/s, 'the guest has ended in order');
  const files = disks.map(({ path }): DiskFile => ({ path, format: 'qcow2' }));
  const [tables, log] = files;
  assert.ok(tables && log);
  assert.deepEqual(await diskProblems(image.programs, [tables, log], [account]), []);
});
