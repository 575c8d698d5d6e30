import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildTopology, removeTopology } from '../topology/build.ts';
import { planOf, switchPort } from '../topology/plan.ts';
import { MarkerSet } from './markers.ts';
import { searchCapture } from './search.ts';
import { Capture } from './tcpdump.ts';

const skip = process.getuid?.() === 0 ? false : 'captures need root';

const receiver = `
  const server = require('node:net').createServer((socket) => socket.resume().on('end', () => { socket.end(); server.close(); }));
  server.listen(9000, '0.0.0.0', () => console.log('ready'));`;
const sender = `
  const socket = require('node:net').connect(9000, process.argv[1]);
  const [, , marker] = process.argv;
  const block = Buffer.alloc(1 << 20, 'x');
  for (let i = 0; i < 32; i++) socket.write(block);
  socket.end(marker);
  socket.resume();`;

test('a stream between two hosts is captured whole, each byte once, and a marker in it is seen', { skip }, async (t) => {
  const plan = planOf(`c${process.pid}`);
  const folder = await mkdtemp(join(tmpdir(), 'tcpdump-'));
  const captures: Capture[] = [];
  t.after(async () => {
    for (const capture of captures) await capture.abandon();
    await removeTopology(plan);
    await rm(folder, { recursive: true, force: true });
  });
  await buildTopology(plan);
  const [alpha, bravo] = plan.hosts;
  assert.ok(alpha && bravo);
  const file = join(folder, 'wire.pcap');
  const capture = await Capture.start({ namespace: plan.switch, interface: switchPort('mig', alpha.name), file });
  captures.push(capture);

  const set = new MarkerSet(3);
  const [marker = ''] = set.markers;
  const inside = (namespace: string, ...words: string[]) => spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', ...words]);
  const listening = inside(bravo.namespace, receiver);
  await once(listening.stdout, 'data');
  await Promise.all([once(listening, 'exit'), once(inside(alpha.namespace, sender, '10.77.2.12', marker), 'exit')]);

  const { captured, dropped } = await capture.stop();
  const report = await searchCapture(file, set);
  assert.equal(report.streamBytes, 32 * (1 << 20) + marker.length);
  assert.deepEqual([report.packets, dropped], [captured, 0]);
  assert.deepEqual([report.markersSeen, report.missingBytes, report.unreadablePackets], [1, 0, 0]);
});

test('an interface that is not there is said', { skip }, async (t) => {
  const plan = planOf(`n${process.pid}`);
  t.after(() => removeTopology(plan));
  await buildTopology(plan);
  await assert.rejects(Capture.start({ namespace: plan.switch, interface: 'none', file: '/dev/null' }), /tcpdump on none failed/);
});
