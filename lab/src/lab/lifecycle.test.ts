import assert from 'node:assert/strict';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { endProcesses, isAlive, startDetached } from '../system/process.ts';
import { buildTopology, presentNamespaces } from '../topology/build.ts';
import { labOf, requireAbsent, takeDown } from './lifecycle.ts';
import { checkId } from './paths.ts';
import { recordProcess } from './record.ts';

const skip = process.getuid?.() === 0 ? false : 'a lab needs root';

test('what a crash left behind is taken down by name: daemons, QEMUs, namespaces, files', { skip }, async (t) => {
  const lab = labOf(`l${process.pid}`);
  t.after(() => takeDown(lab));
  const [alpha] = lab.plan.hosts;
  assert.ok(alpha);
  const vm = join(lab.paths.agentRun('alpha'), 'vms/web');
  await mkdir(vm, { recursive: true });
  for (const folder of [lab.paths.run, lab.paths.logs]) await mkdir(folder, { recursive: true });
  await buildTopology(lab.plan);
  await assert.rejects(requireAbsent(lab), /lab down --id/);

  const start = async (...words: [string, ...string[]]) => {
    const id = await startDetached(words[0], words.slice(1), lab.paths.log('test'));
    t.after(() => endProcesses([id], 0));
    return id;
  };
  const daemon = await start('sleep', '600');
  await recordProcess(lab.paths.processes, { name: 'manager', ...daemon });
  await writeFile(lab.paths.processes, '{"name":"alpha","pid":1', { flag: 'a' });
  // As a QEMU outside of the lab's namespaces would be, and a stranger that has the id of one that is gone.
  const qemu = await start('bash', '-c', 'exec -a "$0" sleep 600', `${vm}/qmp.sock`);
  await writeFile(join(vm, 'pid'), `${qemu.pid}\n`);
  const other = join(lab.paths.agentRun('bravo'), 'vms/old');
  const stranger = await start('sleep', '600');
  await mkdir(other, { recursive: true });
  await writeFile(join(other, 'pid'), `${stranger.pid}\n`);
  const inside = await start('ip', 'netns', 'exec', alpha.namespace, 'sleep', '600');

  await takeDown(lab);
  assert.deepEqual([daemon, qemu, inside, stranger].map(isAlive), [false, false, false, true]);
  assert.deepEqual(await presentNamespaces(lab.plan), []);
  await assert.rejects(access(lab.paths.run), /ENOENT/);
  await assert.rejects(access(lab.paths.state), /ENOENT/);
  await requireAbsent(lab);
  await takeDown(lab);
});

test('an id that cannot be a name is refused', () => {
  assert.equal(checkId('lab2'), 'lab2');
  for (const id of ['', 'A', '../x', 'waytoolongid']) assert.throws(() => checkId(id), /a lab's id/);
});
