import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readPcap } from '../capture/pcap.ts';
import { Capture } from '../capture/tcpdump.ts';
import { run } from '../system/command.ts';
import { buildTopology, removeTopology } from '../topology/build.ts';
import { planOf } from '../topology/plan.ts';
import { Prober } from './prober.ts';

const skip = process.getuid?.() === 0 ? false : 'raw sockets and captures need root';

test('asks again and again, in order, and whoever has the address answers each', { skip }, async (t) => {
  const plan = planOf(`p${process.pid}`);
  const folder = await mkdtemp(join(tmpdir(), 'prober-test-'));
  let started: Capture | undefined;
  t.after(async () => {
    await started?.abandon();
    await removeTopology(plan);
    await rm(folder, { recursive: true });
  });
  await buildTopology(plan);
  const { namespace } = plan.client;
  // As a guest is: an address on a host's bridge.
  await run('ip', ['-n', plan.hosts[0]?.namespace ?? '', 'address', 'add', '10.77.1.100/24', 'dev', 'br0']);
  const file = join(folder, 'client.pcap');
  const capture = await Capture.start({ namespace, interface: 'vm0', file });
  started = capture;
  const prober = await Prober.start({ namespace, address: '10.77.1.100', intervalMs: 2 });
  await sleep(200);
  await prober.stop();
  await capture.stop();

  const asked: number[] = [];
  const answered: number[] = [];
  await readPcap(file, ({ bytes }) => {
    if (bytes.readUInt16BE(12) !== 0x0800) return; // ARP
    // Behind an Ethernet and an IPv4 header: RFC 792's type, and its sequence number.
    const sequence = bytes.readUInt16BE(40);
    if (bytes.readUInt8(34) === 8) asked.push(sequence);
    else if (bytes.readUInt8(34) === 0) answered.push(sequence);
  });
  assert.ok(asked.length > 0);
  assert.deepEqual(
    asked,
    asked.map((_, index) => index),
  );
  assert.deepEqual(answered, asked);
});

test('one that cannot ask says so', { skip }, async (t) => {
  const plan = planOf(`q${process.pid}`);
  t.after(() => removeTopology(plan));
  await buildTopology(plan);
  // The manager's box has no way to that network.
  const prober = await Prober.start({ namespace: plan.manager.namespace, address: '10.77.1.1', intervalMs: 2 });
  await prober.ended;
  await assert.rejects(prober.stop(), /by itself: prober: the network does not take it/);
});
