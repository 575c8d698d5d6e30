import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Migration, SealiftError } from '@sealift/contract';
import { eventsOf, FakeManager } from '../testing/fake-manager.ts';
import { sealift, start } from '../testing/run.ts';
import { cancelled, clear, completed, copying, failed, ordered } from '../testing/samples.ts';

const migrate = ['vm', 'migrate', 'demo', '--to', 'bravo'];

test('a migration is followed to its end and summed up', async () => {
  await using manager = await FakeManager.start({ migrateVm: () => ordered, watchMigration: () => eventsOf(ordered, copying, completed) });
  const { status, stdout, stderr } = await sealift(manager.url, ...migrate);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^demo alpha → bravo sealed preparing\ndemo alpha → bravo sealed copying memory: 52 %, .*\ndemo .* completed\n$/);
  assert.match(stdout, /^demo moved from alpha to bravo, SEALED\n {2}switch-over time {4}68\.1 ms/);
});

test('for programs, each state is a line of JSON and the last is the outcome', async () => {
  await using manager = await FakeManager.start({ migrateVm: () => ordered, watchMigration: () => eventsOf(ordered, copying, completed) });
  const { status, stdout, stderr } = await sealift(manager.url, '--json', ...migrate);
  assert.deepEqual([status, stderr], [0, '']);
  const states = stdout.trimEnd().split('\n');
  assert.deepEqual(
    states.map((line) => JSON.parse(line)),
    [ordered, copying, completed],
  );
});

test('the order carries every option, in the units of the contract', async () => {
  await using manager = await FakeManager.start({ migrateVm: () => ordered });
  const flags = [
    '--clear',
    '--channels',
    '4',
    '--bandwidth',
    '500M',
    '--downtime',
    '20',
    '--max-downtime',
    '200',
    '--max-throttle',
    '60',
    '--deadline',
    '90',
    '--detach',
  ];
  const { status, stdout } = await sealift(manager.url, ...migrate, ...flags);
  assert.equal(status, 0);
  assert.ok(stdout.includes(`sealift migration watch ${ordered.id}`));
  assert.deepEqual(manager.calls, [
    {
      route: 'migrateVm',
      params: { vm: 'demo' },
      body: {
        to: 'bravo',
        clear: true,
        multifdChannels: 4,
        limits: {
          bandwidthBytesPerSecond: 500_000_000,
          downtimeMs: 20,
          maxDowntimeMs: 200,
          deadlineMs: 90_000,
          maxThrottlePercent: 60,
          postcopy: false,
        },
      },
    },
  ]);
});

test('post-copy is asked for by one word, and its risk is said before anything is ordered', async () => {
  await using manager = await FakeManager.start({ migrateVm: () => ordered });
  const { stderr } = await sealift(manager.url, ...migrate, '--postcopy', '--detach');
  assert.match(stderr, /^POST-COPY .*needs both hosts and the line.*its memory is lost.*Nothing can be cancelled/);
  assert.match(JSON.stringify(manager.calls.map(({ body }) => body)), /"postcopy":true/);
  assert.match((await sealift(manager.url, 'vm', 'migrate', '--help')).stdout, /POST-COPY [^.]*needs both\s+hosts/);
  assert.doesNotMatch((await sealift(manager.url, ...migrate, '--detach')).stderr, /POST-COPY/);
});

test('a clear migration is said loudly before, during and after', async () => {
  const unsealed = (migration: Migration): Migration => ({ ...migration, ...clear });
  await using manager = await FakeManager.start({
    migrateVm: () => unsealed(ordered),
    watchMigration: () => eventsOf(unsealed(ordered), unsealed(completed)),
    listMigrations: () => [unsealed(completed)],
    getMigration: () => unsealed(completed),
  });
  const { stdout, stderr } = await sealift(manager.url, ...migrate, '--clear');
  assert.match(stderr, /^CLEAR Memory moves over the network WITHOUT encryption: the order asked for it\n/);
  assert.match(stdout, /CLEAR\n {2}It was NOT encrypted: the order asked for it/);
  assert.match((await sealift(manager.url, ...migrate, '--detach')).stderr, /^CLEAR /);
  assert.match((await sealift(manager.url, 'migration', 'ls')).stdout, /CLEAR/);
  assert.match((await sealift(manager.url, 'migration', 'show', ordered.id)).stdout, /CLEAR/);
});

test('how it ended is in the exit status, and once in words', async () => {
  for (const [last, status, words] of [
    [failed, 7, /^demo was not moved: bravo did not answer for 10 s \(stalled\)\. It stayed at alpha\./],
    [cancelled, 6, /^demo was not moved: the migration was cancelled/],
    [{ ...failed, phase: 'lost' }, 7, /^MEMORY LOST demo/],
    [
      { ...failed, failure: { code: 'did_not_converge', message: 'VM demo did not converge' } },
      10,
      /^demo was not moved: .* did not converge/,
    ],
  ] as const) {
    await using manager = await FakeManager.start({ watchMigration: () => eventsOf(last) });
    const ended = await sealift(manager.url, 'migration', 'watch', ordered.id);
    assert.equal(ended.status, status);
    assert.match(ended.stdout, words);
    assert.doesNotMatch(ended.stderr, /fault|error/);
  }
});

test('a refused order is told and nothing is watched', async () => {
  await using manager = await FakeManager.start({
    migrateVm: () => {
      throw new SealiftError('encryption_required', 'demo must be sealed, and the order says clear');
    },
  });
  const { status, stderr } = await sealift(manager.url, ...migrate, '--clear');
  assert.deepEqual([status, stderr], [4, 'sealift: demo must be sealed, and the order says clear\n']);
});

test('the first Ctrl-C asks the manager to cancel, and the outcome is waited for', async () => {
  const cancel = Promise.withResolvers<void>();
  await using manager = await FakeManager.start({
    migrateVm: () => ordered,
    watchMigration: async function* () {
      yield copying;
      await cancel.promise;
      yield cancelled;
    },
    cancelMigration: () => {
      cancel.resolve();
      return copying;
    },
  });
  const { child, ended, said } = start(manager.url, migrate);
  await said('copying memory');
  child.kill('SIGINT');
  const { status, stdout } = await ended;
  assert.equal(status, 6);
  assert.match(stdout, /was cancelled\. It stayed at alpha/);
  assert.deepEqual(
    manager.calls.map(({ route }) => route),
    ['migrateVm', 'watchMigration', 'cancelMigration', 'getVm'],
  );
});

test('the second Ctrl-C leaves, says that it goes on, and a refused cancel is told', async () => {
  await using manager = await FakeManager.start({
    migrateVm: () => ordered,
    watchMigration: async function* () {
      yield copying;
      await new Promise(() => {});
    },
    cancelMigration: () => {
      throw new SealiftError('wrong_state', 'the destination has the grant');
    },
  });
  const { child, ended, said } = start(manager.url, migrate);
  await said('copying memory');
  child.kill('SIGINT');
  await said('It is not cancelled: the destination has the grant');
  child.kill('SIGINT');
  const { status, stderr } = await ended;
  assert.equal(status, 130);
  assert.match(stderr, new RegExp(`the migration goes on.*sealift migration watch ${ordered.id}`));
});

test('who only watches leaves with one Ctrl-C and cancels nothing', async () => {
  await using manager = await FakeManager.start({
    watchMigration: async function* () {
      yield copying;
      await new Promise(() => {});
    },
  });
  const { child, ended, said } = start(manager.url, ['migration', 'watch', ordered.id]);
  await said('copying memory');
  child.kill('SIGINT');
  assert.equal((await ended).status, 130);
  assert.deepEqual(
    manager.calls.map(({ route }) => route),
    ['watchMigration'],
  );
});

test('a unix socket does as well', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sealift-cli-'));
  try {
    await using manager = await FakeManager.start({ watchMigration: () => eventsOf(completed) }, join(folder, 'm.sock'));
    assert.equal((await sealift(manager.url, 'migration', 'watch', ordered.id)).status, 0);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('show and cancel name the migration', async () => {
  await using manager = await FakeManager.start({ getMigration: () => copying, cancelMigration: () => copying });
  const shown = (await sealift(manager.url, 'migration', 'show', ordered.id)).stdout;
  assert.match(shown, /^demo alpha → bravo sealed copying memory/);
  assert.match(shown, /^channel 1 +main, 290 MiB in 1160 records$/m);
  assert.match((await sealift(manager.url, 'migration', 'cancel', ordered.id)).stdout, /^Asked to cancel/);
});

test('how far the guest may be slowed is a share', async () => {
  for (const wrong of ['100', '-1', 'half']) {
    const { status, stderr } = await sealift('http://127.0.0.1:1', ...migrate, `--max-throttle=${wrong}`);
    assert.equal(status, 2, stderr);
    assert.match(stderr, /--max-throttle.*0 to 99/);
  }
});
