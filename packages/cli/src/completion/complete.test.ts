import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { leavesOf, partsOf, pathOf } from '../manual/tree.ts';
import { createProgram } from '../program.ts';
import { FakeManager } from '../testing/fake-manager.ts';
import { sealift, start } from '../testing/run.ts';
import { host, silentHost, vm } from '../testing/samples.ts';
import { complete } from './complete.ts';

const asked: string[] = [];
const names = async (kind: string, prefix: string) => {
  asked.push(`${kind} ${prefix}`);
  return [{ value: `${kind}-1`, about: 'one' }];
};
const values = async (...words: string[]): Promise<string[] | 'files'> => {
  const found = await complete(createProgram(), words, names);
  return found === 'files' ? found : found.map(({ value }) => value);
};

test('every command and every option of the tree can be completed', async () => {
  for (const leaf of leavesOf(createProgram())) {
    const path = pathOf(leaf).split(' ').slice(1);
    for (let depth = 1; depth <= path.length; depth++) {
      const name = path[depth - 1] ?? '';
      assert.deepEqual((await values(...path.slice(0, depth - 1), name)).includes(name), true, path.join(' '));
    }
    const offered = await values(...path, '--');
    for (const { long } of leaf.options) assert.ok(offered.includes(long ?? ''), `${pathOf(leaf)} ${long}`);
  }
});

test('what comes next follows from what stands before', async () => {
  assert.deepEqual(await values('vm', 'mig'), ['migrate']);
  assert.deepEqual(await values('vm', 'migrate', ''), ['vm-1']);
  assert.deepEqual(await values('vm', 'migrate', 'web', ''), [], 'it takes one');
  assert.deepEqual(await values('vm', 'migrate', 'web', '--to', 'h'), ['host-1']);
  assert.equal(asked.at(-1), 'host h');
  assert.deepEqual(await values('vm', 'migrate', 'web', '--to=h'), ['--to=host-1']);
  assert.deepEqual(await values('vm', 'migrate', '--to', 'bravo', ''), ['vm-1'], 'the value of an option is no argument');
  assert.ok(!(await values('vm', 'migrate', '--to', 'bravo', '--')).includes('--to'), 'once is enough');
  assert.ok((await values('vm', 'create', '--disk', '/d', '--')).includes('--disk'), 'but where it may be repeated');
  assert.deepEqual(await values('vm', 'set', 'web', '--encryption', ''), ['disabled', 'opportunistic', 'required', 'default']);
  assert.deepEqual(await values('cluster', 'balance', 'c', '--auto', ''), ['on', 'off']);
  assert.deepEqual(await values('rule', 'set', 'r', 'on'), ['on-hosts']);
  assert.deepEqual(await values('rule', 'set', 'r', 'apart', 'web', ''), ['vm-1'], 'several of them');
  assert.equal(await values('vm', 'apply', '-f', ''), 'files');
  assert.deepEqual(await values('task', 'watch', ''), ['task-1']);
  assert.deepEqual(await values('completion', ''), ['bash', 'zsh', 'fish']);
  assert.ok((await values('vm', 'ls', '--j')).includes('--json'), 'options of the program stand anywhere');
  assert.deepEqual(await values('nonsense', ''), []);
  assert.ok(partsOf(createProgram()).every((part) => part.name() !== 'help'));
});

const press = `
set -u
compopt() { :; }
source "$SCRIPT"
COMP_LINE=$1 COMP_POINT=\${#1}
_sealift "$SEALIFT"
printf '%s\\n' "\${COMPREPLY[@]}"
`;

test('bash completes with what the manager has, and with nothing and in silence where none answers', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sealift-cli-'));
  try {
    const script = join(folder, 'sealift.bash');
    await writeFile(script, (await sealift('http://127.0.0.1:1', 'completion', 'bash')).stdout);
    process.env['SCRIPT'] = script;
    const tab = async (manager: string, line: string) => {
      const { status, stdout, stderr } = await start(manager, ['-c', press, 'bash', line], { program: 'bash', input: '' }).ended;
      assert.deepEqual([status, stderr], [0, '']);
      return stdout.trim().split('\n').sort();
    };
    await using manager = await FakeManager.start({
      getVm: () => vm,
      listVms: () => [{ ...vm, name: 'demo-2' }],
      listHosts: () => [host, silentHost],
    });
    assert.deepEqual(await tab(manager.url, 'sealift vm mi'), ['migrate']);
    assert.deepEqual(await tab(manager.url, 'sealift vm migrate demo'), ['demo', 'demo-2']);
    assert.deepEqual(manager.calls.find(({ route }) => route === 'listVms')?.query, { limit: 200, after: 'demo' });
    assert.deepEqual(await tab(manager.url, 'sealift vm migrate demo --to '), ['alpha', 'bravo']);
    assert.deepEqual(await tab(manager.url, 'sealift vm migrate demo --to=br'), ['bravo']);
    assert.deepEqual(await tab('http://127.0.0.1:1', 'sealift vm migrate '), ['']);
  } finally {
    delete process.env['SCRIPT'];
    await rm(folder, { recursive: true });
  }
});

test('parts of other packages and topics of help are completed as well; each shell has its script', async () => {
  const { sealiftAll } = await import('../testing/run.ts');
  const [agent, help, nested, zsh, fish, wrong] = await sealiftAll(
    'http://127.0.0.1:1',
    ['__complete', 'manager', '--so'],
    ['__complete', 'help', 'ex'],
    ['__complete', 'help', 'vm', 'mig'],
    ['completion', 'zsh'],
    ['completion', 'fish'],
    ['completion', 'tcsh'],
  );
  assert.match(agent?.stdout ?? '', /^words\n--socket\t/);
  assert.match(help?.stdout ?? '', /^words\nexit-codes\t/);
  assert.match(nested?.stdout ?? '', /^words\nmigrate\t/);
  assert.match(zsh?.stdout ?? '', /^#compdef sealift\n/);
  assert.match(fish?.stdout ?? '', /complete -c sealift/);
  assert.equal(wrong?.status, 2);
});
