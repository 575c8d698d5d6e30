import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SealiftError, type Vm, type VmDefinition } from '@sealift/contract';
import { FakeManager } from '../testing/fake-manager.ts';
import { sealiftAll } from '../testing/run.ts';
import { vm } from '../testing/samples.ts';
import { parseDocuments } from './documents.ts';
import { macFor } from './mac.ts';

const yaml = `
name: demo
memoryMiB: 512
vcpus: 2
disks: [{ path: /var/demo.qcow2, format: qcow2, shared: true }]
nics: [{ bridge: lan }]
encryption: required
---
name: web-2
host: bravo
memoryMiB: 256
nics:
  - bridge: lan
`;

/** A manager that remembers. */
async function withVms(known: Vm[], work: (manager: FakeManager, apply: (text: string, ...flags: string[]) => string[]) => Promise<void>) {
  const vms = new Map(known.map((each) => [each.name, each]));
  const folder = await mkdtemp(join(tmpdir(), 'sealift-cli-'));
  try {
    await using manager = await FakeManager.start({
      getVm: ({ params }) => vms.get(params['vm'] ?? ''),
      createVm: ({ body }) => {
        const { host, definition } = body as { host: string; definition: VmDefinition }; // held to the contract
        const made: Vm = { ...vm, name: definition.name, host, definition, state: 'stopped', found: [] };
        vms.set(made.name, made);
        return made;
      },
      changeVm: ({ params, body }) => {
        const it = vms.get(params['vm'] ?? '') ?? assert.fail();
        const definition = body as VmDefinition; // held to the contract
        if (it.state !== 'stopped' && definition.memoryMiB !== it.definition.memoryMiB) {
          throw new SealiftError('wrong_state', `${it.name} is ${it.state}`);
        }
        vms.set(it.name, { ...it, definition });
        return vms.get(it.name);
      },
    });
    let files = 0;
    const apply = (text: string, ...flags: string[]): string[] => {
      const file = join(folder, `${files++}.yaml`);
      writeFileSync(file, text);
      return ['vm', 'apply', '-f', file, ...flags];
    };
    await work(manager, apply);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('creates, changes, and does nothing the second time; a dry run says it all and does nothing', async () => {
  await withVms([vm], async (manager, apply) => {
    const more = yaml.replace('encryption: required', 'encryption: disabled');
    const [dry, first, second, changed] = await sealiftAll(manager.url, apply(yaml, '--dry-run'), apply(yaml), apply(yaml), apply(more));
    assert.deepEqual([dry?.status, dry?.stdout, dry?.stderr], [0, 'demo unchanged\nweb-2 would be created on bravo\n', '']);
    assert.deepEqual([first?.status, first?.stdout], [0, 'demo unchanged\nweb-2 created on bravo\n']);
    assert.deepEqual([second?.status, second?.stdout], [0, 'demo unchanged\nweb-2 unchanged\n']);
    assert.deepEqual([changed?.status, changed?.stdout], [0, 'demo changed\n  encryption required → disabled\nweb-2 unchanged\n']);
    const orders = manager.calls.filter(({ route }) => route !== 'getVm');
    assert.deepEqual(
      orders.map(({ route }) => route),
      ['createVm', 'changeVm'],
    );
    const [create, change] = orders.map(({ body }) => body);
    const { definition } = create as { definition: VmDefinition }; // held to the contract
    assert.deepEqual([definition.encryption, definition.nics], [undefined, [{ bridge: 'lan', mac: macFor('web-2', 0) }]]);
    const { nics } = change as VmDefinition; // held to the contract
    assert.equal(nics[0]?.mac, '52:54:00:01:02:03', 'the address that it has is kept');
  });
});

test('one that is refused keeps the others not back, and is foreseen', async () => {
  await withVms([vm], async (manager, apply) => {
    const bigger = yaml.replace('512', '1024');
    const [dry, done] = await sealiftAll(manager.url, apply(bigger, '--dry-run'), apply(bigger, '--json'));
    assert.equal(dry?.status, 4);
    assert.match(
      dry?.stderr ?? '',
      /^demo would be REFUSED: VM demo is running on alpha; it must be off .*sealift vm stop demo\n {2}memoryMiB 512 → 1024\n$/,
    );
    assert.equal(done?.status, 4);
    assert.deepEqual(JSON.parse(done?.stdout ?? ''), [
      {
        vm: 'demo',
        outcome: 'refused',
        changes: [{ field: 'memoryMiB', from: 512, to: 1024 }],
        error: { code: 'wrong_state', message: 'demo is running' },
      },
      { vm: 'web-2', outcome: 'created', host: 'bravo', changes: [] },
    ]);
  });
});

test('a file that is not right is told with its place before anything is done', async () => {
  const wrong: [string, RegExp][] = [
    ['name: [', /neither JSON nor YAML.*line 1/s],
    ['', /has no definition in it/],
    ['name: demo\n---\nname: demo\n', /document 2: VM demo is defined twice/],
    ['memoryMiB: 64\n', /"name" must be/],
    ['name: new\n', /VM new is not there yet, and nothing says where to create it/],
    ['name: demo\nmemmory: 64\n', /VM demo is not right/],
    ['name: demo\n---\njust words\n', /document 2: a definition is an object/],
    ['name: new\nhost: 7\n', /"host" must be/],
  ];
  await withVms([vm], async (manager, apply) => {
    const ended = await sealiftAll(manager.url, ...wrong.map(([text]) => apply(text)), ['vm', 'apply', '-f', '/no/such/file']);
    for (const [n, [text, words]] of wrong.entries()) {
      assert.equal(ended[n]?.status, 2, text);
      assert.match(ended[n]?.stderr ?? '', words, text);
    }
    assert.match(ended.at(-1)?.stderr ?? '', /\/no\/such\/file cannot be read/);
    assert.ok(manager.calls.every(({ route }) => route === 'getVm'));
  });
});

test('JSON is read as well, and an array is its parts', () => {
  assert.deepEqual(
    parseDocuments('[{"name":"a"},{"name":"b"}]', 'x').map(({ value }) => value),
    [{ name: 'a' }, { name: 'b' }],
  );
  const bomb = `a: &a [x,x]\n${'bcdefghijklmnop'.replaceAll(/./g, (c) => `${c}: &${c} [${`*${String.fromCharCode(c.charCodeAt(0) - 1)},`.repeat(9)}]\n`)}`;
  assert.throws(() => parseDocuments(bomb, 'x'), /cannot be read/);
});

test('set changes what it names, leaves the rest, and says what holds', async () => {
  await withVms([vm], async (manager) => {
    const [same, own, none] = await sealiftAll(
      manager.url,
      ['vm', 'set', 'demo', '--encryption', 'required'],
      ['vm', 'set', 'demo', '--encryption', 'default'],
      ['vm', 'set', 'demo'],
    );
    assert.match(same?.stdout ?? '', /^demo unchanged\n/);
    assert.match(own?.stdout ?? '', /^demo changed\n {2}encryption required → the cluster's\nIts migrations are now /);
    assert.deepEqual([none?.status, /say what is to change/.test(none?.stderr ?? '')], [2, true]);
    const { encryption: _, ...rest } = vm.definition;
    assert.deepEqual(
      manager.calls.filter(({ route }) => route === 'changeVm').map(({ body }) => body),
      [rest],
    );
  });
});
