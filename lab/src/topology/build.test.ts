import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { run } from '../system/command.ts';
import { processId } from '../system/process.ts';
import { buildTopology, presentNamespaces, removeTopology } from './build.ts';
import { namespacesOf, planOf } from './plan.ts';

const skip = process.getuid?.() === 0 ? false : 'network namespaces need root';

test('the boxes reach each other on their networks only, and nothing is left afterwards', { skip }, async (t) => {
  const plan = planOf(`t${process.pid}`);
  t.after(() => removeTopology(plan));
  const rootLinks = await run('ip', ['-brief', 'link']);
  await buildTopology(plan);
  assert.equal(await run('ip', ['-brief', 'link']), rootLinks);

  const [alpha, bravo] = plan.hosts;
  assert.ok(alpha && bravo);
  // Nobody listens on port 9, so being refused there is the answer of a host that was reached.
  const knock = async (from: string, to: string, answer: RegExp) =>
    assert.rejects(run('ip', ['netns', 'exec', from, 'bash', '-c', `: < /dev/tcp/${to}/9`]), answer);
  await knock(plan.manager.namespace, '10.77.0.11', /refused/);
  await knock(plan.manager.namespace, '10.77.0.12', /refused/);
  await knock(alpha.namespace, '10.77.2.12', /refused/);
  await knock(plan.client.namespace, '10.77.2.11', /unreachable/);

  // A guest is an address on a host's bridge.
  await run('ip', ['-n', bravo.namespace, 'address', 'add', '10.77.1.100/24', 'dev', 'br0']);
  await knock(plan.client.namespace, '10.77.1.100', /refused/);

  const left = spawn('ip', ['netns', 'exec', alpha.namespace, 'sleep', '600'], { stdio: 'ignore' });
  await once(left, 'spawn');
  while ((await run('ip', ['netns', 'pids', alpha.namespace])).trim() === '');
  await removeTopology(plan);
  assert.equal(left.pid === undefined ? undefined : processId(left.pid), undefined);
  assert.deepEqual(await presentNamespaces(plan), []);
  await removeTopology(plan);
});

test('a topology that was built half-way is removed', { skip }, async (t) => {
  const plan = planOf(`h${process.pid}`);
  t.after(() => removeTopology(plan));
  await run('ip', ['netns', 'add', plan.hosts[1]?.namespace ?? '']);
  await assert.rejects(buildTopology(plan), /File exists/);
  assert.equal((await presentNamespaces(plan)).length, namespacesOf(plan).length);
  await removeTopology(plan);
  assert.deepEqual(await presentNamespaces(plan), []);
});
