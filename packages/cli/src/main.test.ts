import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SealiftError } from '@sealift/contract';
import { FakeManager } from './testing/fake-manager.ts';
import { sealift, sealiftAll, start } from './testing/run.ts';
import { host, silentHost, vm } from './testing/samples.ts';

/** Nothing listens on port 1 of loopback. */
const nobody = 'http://127.0.0.1:1';

test('--version, --help and the help of each command answer without a manager', async () => {
  assert.match((await sealift(nobody, '--version')).stdout, /^\d+\.\d+\.\d+\n$/);
  const { status, stdout } = await sealift(nobody, '--help');
  assert.equal(status, 0);
  for (const name of [
    'status',
    'cluster',
    'host',
    'vm',
    'migration',
    'rule',
    'task',
    'event',
    'completion',
    'manager',
    'agent',
    'tunnel',
    'lab',
  ])
    assert.match(stdout, new RegExp(`^  ${name} `, 'm'));
  assert.match((await sealift(nobody, 'vm', 'migrate', '--help')).stdout, /--downtime <ms>/);
  const codes = await sealift(nobody, 'help', 'exit-codes');
  assert.equal(codes.status, 0);
  assert.match(codes.stdout, /encryption_required/);
});

test('--help and --version load neither a daemon nor the lab, and not the client either', async () => {
  const hooks = `import { registerHooks } from 'node:module'; registerHooks({ load(url, context, next) { process.stderr.write(url + '\\n'); return next(url, context); } });`;
  process.env['NODE_OPTIONS'] = `--import=data:text/javascript,${encodeURIComponent(hooks)}`;
  try {
    for (const flag of ['--help', '--version']) {
      const { status, stderr } = await sealift(nobody, flag);
      assert.equal(status, 0);
      assert.match(stderr, /packages\/cli\/src\/main\.ts/, 'the hook sees what is loaded');
      assert.doesNotMatch(stderr, /packages\/(agent|manager|transport|hypervisor|contract)\/|\/lab\/src|undici|typebox|node_modules\/ws/);
    }
  } finally {
    delete process.env['NODE_OPTIONS'];
  }
});

test("the daemons' and the lab's own commands are handed over to", async () => {
  assert.match((await sealift(nobody, 'agent', '--help')).stdout, /^Usage: sealift agent .*--migration-listen/s);
  assert.match((await sealift(nobody, 'help', 'manager')).stdout, /^Usage: sealift manager .*--listen/s);
  assert.match((await sealift(nobody, 'lab', '--help')).stdout, /^Usage: sealift lab /);
  assert.match((await sealift(nobody, 'tunnel', 'send', '--help')).stdout, /^Usage: sealift tunnel send .*--listen-unix/s);
  assert.equal((await sealift(nobody, 'agent', '--no-such-flag')).status, 2);
  const misplaced = await sealift(nobody, '--json', 'agent');
  assert.equal(misplaced.status, 2);
  assert.match(JSON.parse(misplaced.stderr).error.message, /write "sealift agent" first/);
});

test('a wrong command line ends with 2, says what is wrong and asks nobody', async () => {
  const wrong: [string[], RegExp][] = [
    [['vm', 'migrat', 'x'], /unknown command 'migrat'[\s\S]*migrate/],
    [['vm', 'migrate'], /missing required argument 'vm'/],
    [['vm', 'migrate', 'x', '--dry-run', '--detach'], /cannot be used with/],
    [['vm', 'migrate', 'x', '--to', 'b', '--bandwidth', 'fast'], /500M/],
    [['vm', 'migrate', 'x', '--to', 'b', '--channels', '-1'], /whole number/],
    [['vm', 'migrate', 'x', '--to', 'b', '--deadline', '0'], /positive/],
    [['vm', 'create', 'x', '--host', 'a', '--encryption', 'maybe'], /disabled, opportunistic, required/],
    [['vm', 'create', 'x', '--host', 'a', '--disk', '/d,fast'], /"fast"/],
    [['vm', 'create', 'X!', '--host', 'a'], /name/],
    [['vm', 'create', 'x', '--host', 'a', '-f', '/no/such/file'], /\/no\/such\/file/],
    [['host', 'add', 'x'], /address/],
    [['--manager', 'nonsense', 'vm', 'ls'], /unix:\/path/],
    [['vm', 'ls', '--fast'], /--fast/],
  ];
  for (const [args, words] of wrong) {
    const { status, stdout, stderr } = await sealift(nobody, ...args);
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, words);
    assert.equal(stdout, '');
  }
});

test('an unreachable manager is named, with what to try', async () => {
  for (const address of [nobody, 'unix:/no/such.sock']) {
    for (const args of [
      ['vm', 'ls'],
      ['vm', 'migrate', 'x', '--to', 'y'],
      ['vm', 'console', 'x'],
    ]) {
      const { status, stdout, stderr } = await sealift(address, ...args);
      assert.equal(status, 9, stderr);
      assert.ok(stderr.includes(address), stderr);
      assert.match(stderr, /sealift manager[\s\S]*SEALIFT_MANAGER/);
      assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace');
      assert.equal(stdout, '');
    }
  }
  const { stderr } = await sealift(nobody, '--json', 'status');
  assert.equal(JSON.parse(stderr).error.code, 'manager_unreachable');
});

test("the manager's refusals are told in its own words, with their status", async () => {
  await using manager = await FakeManager.start({
    getVm: () => {
      throw new SealiftError('not_found', 'there is no VM called nope');
    },
    removeVm: () => {
      throw new SealiftError('wrong_state', 'demo is running; stop it first');
    },
    consoleOfVm: () => {
      throw new SealiftError('wrong_state', 'demo is stopped, so it has no console');
    },
  });
  const missing = await sealift(manager.url, 'vm', 'show', 'nope');
  assert.deepEqual([missing.status, missing.stdout, missing.stderr], [3, '', 'sealift: there is no VM called nope\n']);
  const running = await sealift(manager.url, 'vm', 'rm', 'demo', '--json');
  assert.equal(running.status, 4);
  assert.deepEqual(JSON.parse(running.stderr), { error: { code: 'wrong_state', message: 'demo is running; stop it first' } });
  const off = await sealift(manager.url, 'vm', 'console', 'demo');
  assert.deepEqual([off.status, off.stderr], [4, 'sealift: demo is stopped, so it has no console\n']);
});

test('lists are tables for people and arrays for programs; empty ones say so', async () => {
  await using manager = await FakeManager.start({ listVms: () => [vm], listHosts: () => [host, silentHost], listMigrations: () => [] });
  assert.equal(
    (await sealift(manager.url, 'vm', 'ls')).stdout,
    'NAME  HOST   STATE    MEMORY   VCPUS  ENCRYPTION\ndemo  alpha  running  512 MiB  2      required\n',
  );
  assert.deepEqual(JSON.parse((await sealift(manager.url, '--json', 'vm', 'ls')).stdout), [vm]);
  const hosts = (await sealift(manager.url, 'host', 'ls')).stdout.split('\n');
  assert.match(hosts[1] ?? '', /^alpha +default +connected +- +7\.2\.0 tcg +2 +37 % +8\.00 GiB +4\.00 GiB +1 +yes +10\.0\.0\.1:8652$/);
  assert.match(hosts[2] ?? '', /^bravo +default +unreachable +- +- .* 10\.0\.0\.2:8652$/);
  const none = await sealift(manager.url, 'migration', 'ls');
  assert.equal(none.stdout, '');
  assert.match(none.stderr, /There were no migrations/);
  assert.equal((await sealift(manager.url, 'migration', 'ls', '--json')).stdout, '[]\n');
});

test('one thing is shown with all that is known of it', async () => {
  await using manager = await FakeManager.start({
    getVm: () => vm,
    getHost: ({ params }) => (params['host'] === 'bravo' ? silentHost : host),
  });
  const shown = (await sealift(manager.url, 'vm', 'show', 'demo')).stdout;
  assert.match(shown, /^disk 0 +\/var\/demo\.qcow2 \(qcow2, shared\)$/m);
  assert.match(shown, /^nic 0 +lan 52:54:00:01:02:03$/m);
  assert.match(shown, /^created +2026-01-02 03:04:05Z$/m);
  assert.match((await sealift(manager.url, 'host', 'show', 'alpha')).stdout, /^vms +demo \(running\)$/m);
  assert.match((await sealift(manager.url, 'host', 'show', 'bravo')).stdout, /^problem +connection refused$/m);
});

test('what disks in pools take is shown, with their images, and pools with what they have; removal says which disks went', async () => {
  const disks = [
    { pool: 'fast', name: 'root', image: 'debian.qcow2', clone: true, format: 'qcow2', shared: false } as const,
    { pool: 'fast', name: 'data', sizeMiB: 1024, format: 'raw', shared: true } as const,
  ];
  const definition = { ...vm.definition, disks, seed: { userData: 'me' } };
  const use = [{ path: '/pool/demo.root.qcow2', sizeBytes: 2 ** 31, allocatedBytes: 2 ** 28 }, { path: '/pool/demo.data.raw' }];
  const pools = [{ name: 'fast', path: '/pool', total: 2 ** 34, available: 2 ** 33 }];
  await using manager = await FakeManager.start({
    getVm: () => ({ ...vm, definition, disks: use }),
    getHost: () => ({ ...host, report: { ...(host.report ?? assert.fail()), pools } }),
    removeVm: ({ query }) => (query ? { keptDisks: ['/pool/a'] } : { removedDisks: ['/pool/a', '/pool/b'] }),
  });
  const [shown, about, removed, kept] = await sealiftAll(
    manager.url,
    ['vm', 'show', 'demo'],
    ['host', 'show', 'alpha'],
    ['vm', 'rm', 'demo'],
    ['vm', 'rm', 'demo', '--keep-disks'],
  );
  const first = /^disk 0 +root in pool fast \(qcow2, clone of debian\.qcow2\) \/pool\/demo\.root\.qcow2, 256 MiB of 2\.00 GiB allocated$/m;
  assert.match(shown?.stdout ?? '', first);
  assert.match(shown?.stdout ?? '', /^disk 1 +data in pool fast \(raw, shared\) \/pool\/demo\.data\.raw, THE FILE IS NOT THERE$/m);
  assert.match(shown?.stdout ?? '', /^seed +user-data 2 bytes$/m);
  assert.match(about?.stdout ?? '', /^pool fast +\/pool, 8\.00 GiB of 16\.0 GiB available$/m);
  assert.equal(removed?.stdout, 'demo is removed; so are its disks /pool/a, /pool/b\n');
  assert.equal(kept?.stdout, 'demo is removed; left where they are: /pool/a\n');
});

test('orders reach the manager as the contract writes them', async () => {
  await using manager = await FakeManager.start({
    addHost: ({ body }) => ({ ...silentHost, ...(body as object) }),
    removeHost: () => ({}),
    createVm: () => vm,
    startVm: () => vm,
    stopVm: () => ({ ...vm, state: 'stopped' }),
    removeVm: () => ({}),
  });
  const said: string[] = [];
  const orders = [
    ['host', 'add', 'bravo', '10.0.0.2'],
    ['host', 'add', 'bravo', '[fd00::2]:9000'],
    ['host', 'rm', 'bravo'],
    ['vm', 'create', 'demo', '--host', 'alpha', '--memory', '256', '--nic', 'lan,mac=52:54:00:00:00:01', '--kernel', '/k'],
    ['vm', 'start', 'demo'],
    ['vm', 'stop', 'demo'],
    ['vm', 'stop', 'demo', '--force'],
    ['vm', 'rm', 'demo'],
  ];
  for (const order of orders) {
    const { status, stdout, stderr } = await sealift(manager.url, ...order);
    assert.equal(status, 0, stderr);
    said.push(stdout.trim());
  }
  assert.deepEqual(
    manager.calls.map(({ route, body }) => [route, body]),
    [
      ['addHost', { name: 'bravo', endpoint: '10.0.0.2:8652' }],
      ['addHost', { name: 'bravo', endpoint: '[fd00::2]:9000' }],
      ['removeHost', undefined],
      [
        'createVm',
        {
          host: 'alpha',
          definition: {
            name: 'demo',
            memoryMiB: 256,
            vcpus: 1,
            cpuModel: 'qemu64',
            machine: 'pc-q35-7.2',
            kernelBoot: { kernel: '/k', cmdline: '' },
            disks: [],
            nics: [{ bridge: 'lan', mac: '52:54:00:00:00:01' }],
          },
        },
      ],
      ['startVm', undefined],
      ['stopVm', { force: false }],
      ['stopVm', { force: true }],
      ['removeVm', undefined],
    ],
  );
  assert.deepEqual(said.slice(4), [
    'demo runs on alpha',
    'demo is stopped on alpha',
    'demo is stopped on alpha',
    'demo is removed; its disks are left as they are',
  ]);
});

test('a reader that has seen enough is no failure', async () => {
  const many = Array.from({ length: 5000 }, (_, n) => ({ ...vm, name: `vm-${n}` }));
  await using manager = await FakeManager.start({ listVms: () => many });
  const { child, ended } = start(manager.url, ['vm', 'ls', '--json']);
  child.stdout?.once('data', () => child.stdout?.destroy());
  const { status, stderr } = await ended;
  assert.deepEqual([status, stderr], [0, '']);
});
