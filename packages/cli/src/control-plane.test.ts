/** Every command that asks the manager: what it orders, what it says to programs, and how it ends where it is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Cluster,
  DrainPlan,
  Event,
  Host,
  Image,
  Migration,
  type MigrationPlan,
  publicApi,
  Rule,
  SealiftError,
  Task,
  Vm,
  VmRemoval,
} from '@sealift/contract';
import { type TSchema, Type } from 'typebox';
import { Errors } from 'typebox/value';
import { isHandOver } from './hand-over.ts';
import { leavesOf, pathOf } from './manual/tree.ts';
import { createProgram } from './program.ts';
import { eventsOf, FakeManager, type Handlers } from './testing/fake-manager.ts';
import { sealiftAll } from './testing/run.ts';
import {
  balancePlan,
  cluster,
  completed,
  drainPlan,
  drainTask,
  event,
  host,
  image,
  migrationPlan,
  ordered,
  rule,
  vm,
} from './testing/samples.ts';

const id = ordered.id;
const drained = { ...drainTask, state: 'completed' as const, endedAt: drainTask.startedAt + 9000 };

const answers: Handlers = {
  status: () => ({ version: '0.1.0', hosts: 1, vms: 1, migrating: 1 }),
  listHosts: () => [host],
  getHost: () => host,
  addHost: () => host,
  removeHost: () => ({}),
  drainHost: () => drainTask,
  planDrain: () => ({ ...drainPlan, stays: [] }),
  undrainHost: () => host,
  listClusters: () => [cluster],
  getCluster: () => cluster,
  setCluster: () => cluster,
  removeCluster: () => ({}),
  planBalance: () => balancePlan,
  balanceCluster: () => drainTask,
  listRules: () => [rule],
  setRule: () => rule,
  removeRule: () => ({}),
  listTasks: () => [drainTask],
  getTask: () => drainTask,
  cancelTask: () => drainTask,
  watchTask: () => eventsOf(drainTask, drained),
  listEvents: () => [event],
  watchEvents: () => eventsOf(event),
  listVms: () => [vm],
  createVm: () => vm,
  getVm: () => vm,
  changeVm: () => vm,
  resetVm: () => vm,
  suspendVm: () => vm,
  resumeVm: () => vm,
  startVm: () => vm,
  stopVm: () => vm,
  listImages: () => [image],
  importImage: () => image,
  removeImage: () => ({}),
  removeVm: () => ({}),
  migrateVm: () => ordered,
  planMigration: () => migrationPlan,
  listMigrations: () => [completed],
  getMigration: () => completed,
  cancelMigration: () => ordered,
  adjustMigration: () => ordered,
  resolveMigration: () => completed,
  watchMigration: () => eventsOf(ordered, completed),
};

const nothing = Type.Object({}, { additionalProperties: false });
const line = (text: string): string[] => text.split(' ');

/** A command line of each command, and the schema of what it prints with --json; of each line where it watches. */
const commands: Readonly<Record<string, readonly [args: string[], schema: TSchema, layout?: 'lines']>> = {
  status: [[], publicApi.status.response],
  'cluster ls': [[], Type.Array(Cluster)],
  'cluster show': [['default'], Cluster],
  'cluster set': [line('default --encryption required'), Cluster],
  'cluster rm': [['lab'], nothing],
  'cluster balance': [['default'], publicApi.planBalance.response],
  'host ls': [[], Type.Array(Host)],
  'host show': [['alpha'], Host],
  'host add': [line('alpha 10.0.0.1 --cluster lab'), Host],
  'host rm': [['alpha'], nothing],
  'host drain': [['alpha'], Task, 'lines'],
  'host undrain': [['alpha'], Host],
  'image ls': [line('--host alpha'), Type.Array(Image)],
  'image import': [line('/root/debian.qcow2 --host alpha'), Image],
  'image rm': [line('debian.qcow2 --host alpha'), nothing],
  'vm create': [line('demo --host alpha'), Vm],
  'vm apply': [
    line(`-f ${import.meta.dirname}/testing/demo.yaml`),
    Type.Array(Type.Object({ vm: Type.String(), outcome: Type.Literal('changed'), changes: Type.Array(Type.Unknown()) })),
  ],
  'vm set': [line('demo --encryption default'), Vm],
  'vm start': [['demo'], Vm],
  'vm stop': [['demo'], Vm],
  'vm reset': [['demo'], Vm],
  'vm suspend': [['demo'], Vm],
  'vm resume': [['demo'], Vm],
  'vm rm': [line('demo --keep-disks'), VmRemoval],
  'vm ls': [[], Type.Array(Vm)],
  'vm show': [['demo'], Vm],
  'vm stats': [[], Type.Array(Type.Pick(Vm, ['name', 'host', 'state', 'stats']))],
  'vm migrate': [['demo'], Migration, 'lines'],
  'migration ls': [[], Type.Array(Migration)],
  'migration show': [[id], Migration],
  'migration watch': [[id], Migration, 'lines'],
  'migration cancel': [[id], Migration],
  'migration set': [[id, '--bandwidth', '1G'], Migration],
  'migration resolve': [[id, '--keep', 'source', '--yes-i-am-sure'], Migration],
  'rule ls': [[], Type.Array(Rule)],
  'rule set': [line('pair apart web-1 web-2'), Rule],
  'rule rm': [['pair'], nothing],
  'task ls': [[], Type.Array(Task)],
  'task show': [[id], Task],
  'task watch': [[id], Task, 'lines'],
  'task cancel': [[id], Task],
  'event ls': [[], Type.Array(Event)],
};

/** Tested elsewhere: they do not end by themselves, or print no JSON. */
const others = ['event watch', 'vm console', 'completion'];

test('no command is left out here', () => {
  const leaves = leavesOf(createProgram()).filter((command) => !isHandOver(command.name()));
  const paths = leaves.map((command) => pathOf(command).replace(/^sealift /, ''));
  assert.deepEqual([...Object.keys(commands), ...others].sort(), paths.sort());
});

test('with --json every command prints what the contract says, and nothing else', async () => {
  await using manager = await FakeManager.start(answers);
  const entries = Object.entries(commands);
  const ended = await sealiftAll(manager.url, ...entries.map(([path, [args]]) => [...line(path), ...args, '--json']));
  for (const [n, [path, [, schema, layout]]] of entries.entries()) {
    const { status, stdout, stderr } = ended[n] ?? assert.fail(path);
    assert.deepEqual([path, status, stderr], [path, 0, '']);
    const documents = layout === 'lines' ? stdout.trimEnd().split('\n') : [stdout];
    for (const text of documents) assert.deepEqual([...Errors(schema, JSON.parse(text))], [], `${path}: ${text}`);
  }
});

test("every command ends with the status of the manager's refusal, and tells it once, as words or as JSON", async () => {
  const refuse = (): never => {
    throw new SealiftError('agent_unreachable', 'host alpha does not answer');
  };
  const refusing = Object.fromEntries(Object.keys(publicApi).map((route) => [route, refuse]));
  await using manager = await FakeManager.start(refusing);
  const all = Object.entries(commands).map(([path, [args]]) => [...line(path), ...args]);
  const lines = [...all, line('event watch'), ...all.map((args) => [...args, '--json'])];
  for (const [n, { status, stdout, stderr }] of (await sealiftAll(manager.url, ...lines)).entries()) {
    const words = lines[n] ?? [];
    assert.deepEqual([words, status, stdout], [words, 9, '']);
    if (words.includes('--json')) assert.equal(JSON.parse(stderr).error.code, 'agent_unreachable', words.join(' '));
    else assert.equal(stderr, 'sealift: host alpha does not answer\n', words.join(' '));
  }
});

test('a plan shows every check and every host, says loudly what would be clear, and ends as the order would', async () => {
  const refused: MigrationPlan = {
    ...migrationPlan,
    checks: [{ name: 'encryption', verdict: 'fail', reason: 'bravo cannot seal', remedy: 'update bravo' }],
    why: 'bravo will not do',
  };
  delete refused.to;
  delete refused.suite;
  delete refused.clearBecause;
  let plan: unknown = migrationPlan;
  await using manager = await FakeManager.start({ ...answers, planMigration: () => plan, planDrain: () => drainPlan });
  const dry = line('vm migrate demo --dry-run');
  const [would, drain, balance] = await sealiftAll(manager.url, dry, line('host drain alpha --dry-run'), line('cluster balance default'));
  assert.equal(would?.status, 0);
  assert.match(would?.stdout ?? '', /^demo {2}alpha → bravo {2}CLEAR\nCLEAR .*WITHOUT encryption: charlie cannot seal\n/);
  assert.match(would?.stdout ?? '', /^ +WARN {2}cpu +another model\n +→ watch it$/m);
  assert.match(would?.stdout ?? '', /^ +charlie +NO .*FAIL memory: 12 MiB are missing$/m);
  assert.equal(drain?.status, 4);
  assert.match(
    drain?.stdout ?? '',
    /1 of 2 VMs would leave alpha[\s\S]*CLEAR[\s\S]*CANNOT LEAVE alpha:\n {2}db: no host will do\n +charlie: FAIL memory/,
  );
  assert.deepEqual([balance?.status, /alpha +80 % → 40 %/.test(balance?.stdout ?? '')], [0, true]);
  plan = refused;
  const [not, asJson] = await sealiftAll(manager.url, dry, [...dry, '--json']);
  assert.equal(not?.status, 4);
  assert.match(not?.stdout ?? '', /would NOT be moved[\s\S]*FAIL {2}encryption {2}bravo cannot seal\n +→ update bravo/);
  assert.deepEqual([asJson?.status, JSON.parse(asJson?.stdout ?? '')], [4, refused]);
  assert.deepEqual([...Errors(DrainPlan, drainPlan)], []);
});

test('status puts everything on a screen, the bad loudly', async () => {
  const clear = { ...completed, orderedAt: Date.now() - 1000, suite: 'none' as const, clearBecause: 'bravo cannot seal' };
  await using manager = await FakeManager.start({
    ...answers,
    listHosts: () => [host, { ...host, name: 'bravo', state: 'unreachable', problem: 'connection refused', maintenance: 'draining' }],
    listVms: () => [vm, { ...vm, name: 'other', state: 'stopped', problem: 'it is on no host' }],
    listMigrations: ({ query }) => (query?.['running'] ? [ordered] : [clear]),
  });
  const [shown] = await sealiftAll(manager.url, ['status']);
  assert.equal(shown?.status, 0, shown?.stderr);
  assert.match(shown?.stdout ?? '', /^hosts +1 {2}\(1 connected, 1 unreachable, 1 draining\)$/m);
  assert.match(shown?.stdout ?? '', /^VMs +1 {2}\(1 running, 1 stopped\)$/m);
  assert.match(shown?.stdout ?? '', /^ {2}demo alpha → bravo sealed preparing$/m);
  assert.match(shown?.stdout ?? '', /^ {2}drain host alpha: running, 1 of 2$/m);
  assert.match(shown?.stdout ?? '', /^CLEAR +1\n {2}demo alpha → bravo, .*NOT encrypted: bravo cannot seal$/m);
  assert.match(shown?.stdout ?? '', /^PROBLEMS +2\n {2}VM other: it is on no host\n {2}host bravo does not answer: connection refused$/m);
});
