/**
 * libvirt migrates through `sealift tunnel` by the scripts of docs/tunnel.md, libvirtd to libvirtd. Not part of `npm test`, since libvirt
 * is needed for nothing else: `npm run test:libvirt` installs it and runs this.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TunnelReport } from '../../packages/transport/src/tunnel/report.ts';
import { run, sealift } from '../support/lab.ts';
import type { Started } from '../support/tunnel.ts';
import { Guest } from './guest.ts';
import { LibvirtLab } from './lab.ts';

const document = readFileSync(join(import.meta.dirname, '../../docs/tunnel.md'), 'utf8');

/** A block of the document, by the comment that it begins with. */
function scriptOf(name: string): string {
  const script = new RegExp(`\`\`\`sh\\n(# ${name}\\n[\\s\\S]*?)\`\`\``).exec(document)?.[1];
  assert.ok(script, `docs/tunnel.md has no script for the ${name}`);
  return script;
}

/** What the two tunnels of a host reported, the one with fewer channels first. */
function reportsOf({ stdout }: Started): [TunnelReport, TunnelReport] {
  const lines = stdout.split('\n').filter((line) => line.startsWith('{"role"'));
  const reports: TunnelReport[] = lines.map((line) => JSON.parse(line));
  const [fewer, more] = reports.sort((a, b) => a.channels.length - b.channels.length);
  assert.ok(fewer && more, stdout);
  return [fewer, more];
}

/** Starts both scripts, the first host's when the second's listens. */
async function start(lab: LibvirtLab): Promise<{ here: Started; there: Started }> {
  const { first, second } = lab;
  for (const name of ['memory.spec', 'disks.spec']) {
    const { status, stderr } = await run('bash', ['-c', 'umask 077; "$0" tunnel spec >"$1"', sealift, join(lab.directory, name)]);
    assert.equal(status, 0, stderr);
  }
  const common = { RUN: '/run/libvirt/tunnel', SPECS: lab.directory, QEMU_USER: 'libvirt-qemu' };
  const there = lab.script(second, scriptOf('libvirt, second host'), { ...common, LISTEN: second.address });
  await there.says(/listening on 192\.0\.2\.20:8651/);
  await there.says(/listening on 192\.0\.2\.20:8653/);
  const here = lab.script(first, scriptOf('libvirt, first host'), { ...common, TO: second.address, VM: 'web', SECOND: second.uri });
  return { here, there };
}

describe('libvirt', () => {
  it('migrates a VM live with its disks through two tunnels, with multifd', async ({ signal }) => {
    await using lab = await LibvirtLab.up(signal);
    const { first, second } = lab;
    const guest = await Guest.boot(first, second, 8, 3);
    const ticks = await guest.ticks(first);
    const { here, there } = await start(lab);
    assert.equal(await here.ended, 0, here.stderr);
    assert.equal(await there.ended, 0, there.stderr);

    assert.equal(await first.must('list', '--all', '--name'), '');
    assert.equal(await second.must('domstate', 'web'), 'running');
    assert.ok(await guest.hasItsMemory(second));
    assert.ok((await guest.ticks(second)) >= ticks);
    await guest.runs(second);
    assert.ok(guest.hasItsDisks(second));

    const [disks, memory] = reportsOf(here);
    assert.equal(memory.channels.length, 5, 'the main stream and four of multifd');
    assert.equal(disks.channels.length, 2, 'one for each disk');
    const sizes = disks.channels.map(({ sent }) => sent.bytes).sort((a, b) => b - a);
    assert.ok((sizes[0] ?? 0) >= 8 * 1024 * 1024 && (sizes[1] ?? 0) >= 3 * 1024 * 1024, `${sizes}`);
    for (const { outcome, sealed } of [...reportsOf(here), ...reportsOf(there)]) assert.deepEqual([outcome, sealed], ['completed', true]);
  });

  it('leaves the VM running on the first host, and nothing on the second, where the network is cut while disks are copied', async ({
    signal,
  }) => {
    await using lab = await LibvirtLab.up(signal);
    const { first, second } = lab;
    const guest = await Guest.boot(first, second, 64);
    await first.must('migrate-setspeed', 'web', '1'); // MiB/s: it is cut in the midst of it
    const { here, there } = await start(lab);
    const early = here.ended.then(() => assert.fail(`it ended before it was cut: ${here.stderr}`));
    early.catch(() => undefined); // later it ends, as it should
    while (!guest.hasSomeOfItsDisks(second)) await Promise.race([early, sleep(100)]);
    await second.ip('link', 'set', 'wire', 'down');
    assert.notEqual(await here.ended, 0);
    assert.notEqual(await there.ended, 0);
    assert.match(here.stderr, /error: /);
    const [memory, disks] = reportsOf(here);
    assert.deepEqual([memory.channels.length, disks.channels.length], [0, 1]);
    for (const { outcome } of [memory, disks]) assert.notEqual(outcome, 'completed');

    assert.equal(await first.must('domstate', 'web'), 'running');
    await guest.runs(first);
    assert.ok(await guest.hasItsMemory(first));
    while ((await second.must('list', '--all', '--name')) !== '') await sleep(100);
  });
});
