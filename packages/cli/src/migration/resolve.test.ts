import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Host, type Migration, SealiftError } from '@sealift/contract';
import { eventsOf, FakeManager } from '../testing/fake-manager.ts';
import { type Running, sealift, start } from '../testing/run.ts';
import { copying, host, ordered, silentHost, vm } from '../testing/samples.ts';
import { resolutionLines, riskLines, standingLine } from './resolution-words.ts';

const doubtful: Migration = { ...ordered, phase: 'in-doubt' };
const at = Date.UTC(2026, 0, 2, 4);
const decided: Migration = {
  ...ordered,
  phase: 'failed',
  endedAt: at,
  failure: { code: 'resolved', message: 'so decided' },
  resolution: { keep: 'source', at, waitingFor: ['bravo'] },
};
const inDoubt: Host = {
  ...host,
  ...(host.report && { report: { ...host.report, vms: [{ definition: vm.definition, state: 'in-doubt', log: '/l' }] } }),
};
const handlers = {
  getMigration: () => doubtful,
  getHost: ({ params }: { params: Readonly<Record<string, string>> }) =>
    params['host'] === 'alpha' ? inDoubt : { ...silentHost, lastSeenAt: at },
  getVm: () => ({ ...vm, state: 'in-doubt' as const, problem: 'demo is in doubt between both' }),
  resolveMigration: () => decided,
};
const args = ['migration', 'resolve', ordered.id, '--keep', 'source'];
const orders = (manager: FakeManager) => manager.calls.filter(({ route }) => route === 'resolveMigration').map(({ body }) => body);

test('without a terminal it is not done unless one is sure, and what it risks is said all the same', async () => {
  await using manager = await FakeManager.start(handlers);
  const { status, stderr } = await sealift(manager.url, ...args);
  assert.equal(status, 2);
  assert.match(stderr, /nothing was done: without a terminal.*--yes-i-am-sure/);
  assert.match(stderr, /TWO COPIES RUN until bravo is back/);
  assert.deepEqual(orders(manager), []);
});

test('sure: it is said where the VM is, what is risked, what was decided and who has not heard', async () => {
  await using manager = await FakeManager.start(handlers);
  const { status, stdout, stderr } = await sealift(manager.url, ...args, '--yes-i-am-sure');
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^VM demo: migration .* from alpha to bravo, in-doubt/);
  assert.match(stderr, /source +alpha: answers; demo is in-doubt/);
  assert.match(stderr, /destination +bravo: DOES NOT ANSWER since 2026-01-02 04:00:00Z \(connection refused\); what it has is not known/);
  assert.match(stderr, /demo is in doubt between both/);
  assert.match(
    stdout,
    /^An administrator decided at 2026-01-02 04:00:00Z: demo is alpha's, and bravo's copy is given up\n {2}bravo has not heard/,
  );
  assert.deepEqual(orders(manager), [{ keep: 'source', confirm: 'demo' }]);
});

test('for programs, the answer is one document', async () => {
  await using manager = await FakeManager.start(handlers);
  const { status, stdout, stderr } = await sealift(manager.url, '--json', ...args, '--yes-i-am-sure');
  assert.deepEqual([status, stderr, JSON.parse(stdout)], [0, '', decided]);
});

test('a side has to be named, and the manager may refuse', async () => {
  await using manager = await FakeManager.start({
    ...handlers,
    resolveMigration: () => {
      throw new SealiftError('wrong_state', 'demo is not in doubt');
    },
  });
  assert.equal((await sealift(manager.url, 'migration', 'resolve', ordered.id)).status, 2);
  assert.equal((await sealift(manager.url, 'migration', 'resolve', ordered.id, '--keep', 'both')).status, 2);
  const { status, stderr } = await sealift(manager.url, ...args, '--yes-i-am-sure');
  assert.equal(status, 4);
  assert.match(stderr, /sealift: demo is not in doubt\n$/);
});

describe('on a terminal', () => {
  const onTerminal = (manager: string): Running =>
    start(manager, ['-qefc', `exec "$SEALIFT" ${args.join(' ')}`, '/dev/null'], { program: 'script', input: 'open' });

  for (const [typed, status, bodies] of [
    ['demo\r', 0, [{ keep: 'source', confirm: 'demo' }]],
    ['yes\r', 2, []],
    ['\x04', 2, []],
  ] as const) {
    test(`${JSON.stringify(typed)} ends with ${status}`, async () => {
      await using manager = await FakeManager.start(handlers);
      const { child, ended, said } = onTerminal(manager.url);
      await said("Type the VM's name");
      child.stdin?.write(typed);
      const { status: got, stdout } = await ended;
      child.stdin?.end();
      assert.equal(got, status, stdout);
      assert.deepEqual(orders(manager), bodies);
    });
  }
});

test('the words say only what is known', () => {
  assert.equal(standingLine('bravo', undefined, 'demo'), 'bravo: the manager does not know this host any more');
  const known: Host = { ...inDoubt, state: 'unreachable', problem: 'gone', lastSeenAt: at };
  assert.equal(
    standingLine('alpha', known, 'demo'),
    'alpha: DOES NOT ANSWER since 2026-01-02 04:00:00Z (gone); last known: demo is in-doubt',
  );
  assert.equal(standingLine('alpha', host, 'other'), 'alpha: answers; it has no other');

  const risk = (keep: 'source' | 'destination', source: Host, destination: Host) =>
    riskLines(ordered, keep, { source, destination }).join('\n');
  const bravo: Host = { ...host, name: 'bravo' };
  assert.match(risk('source', inDoubt, bravo), /bravo HAS demo NOW \(running\): that copy is destroyed/);
  assert.match(risk('source', silentHost, bravo), /alpha does not answer: if it does not have demo any more, the VM's memory is lost/);
  assert.match(
    risk('destination', inDoubt, silentHost),
    /paused copy at alpha is destroyed now.*\n.*IF IT DOES NOT HAVE demo, THE VM'S MEMORY IS LOST/,
  );
  assert.match(risk('destination', silentHost, bravo), /destroyed as soon as alpha answers/);
  assert.doesNotMatch(risk('destination', silentHost, bravo), /LOST/);

  assert.deepEqual(resolutionLines(ordered), []);
  const refusedBy: Migration = { ...decided, resolution: { keep: 'destination', at, waitingFor: [], refused: ['bravo: it has no demo'] } };
  assert.deepEqual(resolutionLines(refusedBy), [
    "An administrator decided at 2026-01-02 04:00:00Z: demo is bravo's, and alpha's copy is given up",
    '  bravo: it has no demo',
  ]);
});

test('limits are set while it runs, in the units of the contract', async () => {
  await using manager = await FakeManager.start({ adjustMigration: () => copying });
  const set = ['migration', 'set', ordered.id];
  const { status, stdout } = await sealift(manager.url, ...set, '--bandwidth', '10M', '--deadline', '1.5');
  assert.equal(status, 0);
  assert.equal(stdout, 'The migration of demo from alpha to bravo goes on, with 10.0 MB/s at most and a deadline of 1.50 s\n');
  assert.match((await sealift(manager.url, ...set, '--bandwidth', '0')).stdout, /with no limit of bandwidth/);
  assert.deepEqual(
    manager.calls.map(({ body }) => body),
    [{ bandwidthBytesPerSecond: 10_000_000, deadlineMs: 1500 }, { bandwidthBytesPerSecond: 0 }],
  );
  const nothing = await sealift(manager.url, ...set);
  assert.deepEqual([nothing.status, nothing.stderr], [2, 'sealift: say what is to change: --bandwidth SIZE, --deadline SECONDS\n']);
});

test('who watches is told what in doubt means and what to do, and where the VM is in the end', async () => {
  await using manager = await FakeManager.start({
    watchMigration: () => eventsOf(copying, { ...copying, phase: 'in-doubt' }, { ...copying, phase: 'in-doubt' }, decided),
    getVm: () => ({ ...vm, problem: 'bravo has not heard' }),
  });
  const { status, stdout, stderr } = await sealift(manager.url, 'migration', 'watch', ordered.id);
  assert.equal(status, 7);
  assert.equal(stderr.match(/demo is in doubt: handed over by alpha, which does not know whether bravo runs it/g)?.length, 1);
  assert.match(stderr, new RegExp(`sealift migration resolve ${ordered.id} --keep source|destination`));
  assert.match(stderr, /IN DOUBT: settled as soon as both hosts answer/);
  assert.match(stdout, /demo is alpha's.*\n(?:.*\n)*Now: demo is running on alpha\nbravo has not heard\n$/);
});

test('where hosts and manager disagree is said below the list, with the VM and with the host', async () => {
  const twice = { ...vm, problem: 'demo was found on two hosts', found: [...vm.found, { host: 'bravo', state: 'paused' as const }] };
  await using manager = await FakeManager.start({
    listVms: () => [twice],
    listHosts: () => [host, { ...silentHost, unknownVms: ['stray'] }],
    getVm: () => twice,
    getHost: () => ({ ...host, unknownVms: ['stray'] }),
  });
  const listed = await sealift(manager.url, 'vm', 'ls');
  assert.match(listed.stdout, /^demo +alpha +running \(!\)/m);
  assert.equal(listed.stderr, '(!) demo was found on two hosts\n(!) host bravo has VMs that the manager does not know: stray\n');
  const shown = (await sealift(manager.url, 'vm', 'show', 'demo')).stdout;
  assert.match(shown, /^PROBLEM +demo was found on two hosts$/m);
  assert.match(shown, /^found on +alpha \(running, pid 4711\); bravo \(paused\)$/m);
  assert.match((await sealift(manager.url, 'host', 'show', 'alpha')).stdout, /^UNKNOWN +the manager does not know stray/m);
});
