/** What an agent says of its host, of its VMs and of somebody else's QEMU, on real ones. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type agentApi, type MigrationSpec, SealiftError } from '@sealift/contract';
import { killQemu, probeQemu, QmpClient } from '@sealift/hypervisor';
import { createHandlers } from '../api/handlers.ts';
import type { Handlers } from '../api/server.ts';
import type { AgentHost } from '../attempts.ts';
import { Images } from '../disks/images.ts';
import { HostReporter, readCpuFacts } from '../host-report.ts';
import { createLog } from '../log.ts';
import { FakeAttempts } from '../testing/attempts.ts';
import { bareVm } from '../testing/bare-vm.ts';
import { VmHost } from '../vms/host.ts';
import { AdoptedVms } from './adopted.ts';
import { HostLoad } from './host-load.ts';
import { VmWatch } from './vm-stats.ts';

const log = createLog({ daemon: 'test' }, 'silent');
const code = (expected: string) => (error: unknown) => error instanceof SealiftError && error.code === expected;

let directory: string;
let vms: VmHost;
let strangers: ChildProcess[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sealift-observe-'));
  strangers = [];
  vms = await VmHost.open({
    state: join(directory, 'state'),
    run: join(directory, 'run'),
    qemu: { binary: 'qemu-system-x86_64', accel: 'tcg' },
    memoryMiB: undefined,
    log,
  });
});

afterEach(async () => {
  const ours = vms.list().flatMap(({ process }) => process ?? []);
  vms.close(); // first, or it would write down that they crashed while their directory is removed
  for (const qemu of ours) await killQemu(qemu);
  for (const stranger of strangers) {
    if (stranger.exitCode !== null || stranger.signalCode !== null) continue;
    const ended = once(stranger, 'exit');
    stranger.kill('SIGKILL');
    await ended;
  }
  await rm(directory, { recursive: true, force: true });
});

/** A QEMU as somebody else would start it. */
async function startStranger(socket: string): Promise<ChildProcess> {
  const shared = [
    '-fsdev',
    `local,id=here,path=${directory},security_model=none`,
    '-device',
    'virtio-9p-pci,id=files,fsdev=here,mount_tag=here',
  ];
  const shape = ['-M', 'pc-q35-7.2', '-cpu', 'qemu64', '-smp', '2', '-m', '64', '-accel', 'tcg', '-nodefaults', '-display', 'none'];
  const qemu = spawn('qemu-system-x86_64', [...shape, ...shared, '-qmp', `unix:${socket},server=on,wait=off`], { stdio: 'ignore' });
  strangers.push(qemu);
  for (const deadline = Date.now() + 30_000; ; await sleep(20)) {
    const monitor = await QmpClient.connect(socket, { deadlineMs: 1000 }).catch(() => undefined);
    monitor?.close();
    if (monitor) return qemu;
    assert.ok(Date.now() < deadline && qemu.exitCode === null, 'the QEMU to adopt does not answer');
  }
}

async function agentOf(adopted: AdoptedVms, rest: { noSeal?: boolean; watch?: VmWatch; load?: HostLoad } = {}) {
  const host = {
    identity: { name: 'alpha', keyHash: 'ab'.repeat(32) },
    vms,
    migrationListen: [{ host: '127.0.0.1', port: 8651, endpoint: '127.0.0.1:8651' }],
    noSeal: rest.noSeal,
    log,
  } as unknown as AgentHost; // what a report and a handler look at
  const attempts = new FakeAttempts(host);
  const observed = { load: rest.load ?? new HostLoad(['127.0.0.1']), watch: rest.watch ?? new VmWatch(vms), adopted };
  const qemu = { capabilities: await probeQemu(), accel: 'tcg' } as const;
  const reporter = new HostReporter(host, attempts, observed, { qemu, cpu: await readCpuFacts(), version: '0.0.0-test' });
  return createHandlers(host, attempts, reporter, new Images(vms.disks, () => [], log));
}

test('somebody else’s QEMU is seen with its shape and what ties it down; no order passes, and it stays as it is', async () => {
  const socket = join(directory, 'theirs.sock');
  const qemu = await startStranger(socket);
  const adopted = new AdoptedVms([{ name: 'theirs', socket }], log);
  const agent: Handlers<typeof agentApi> = await agentOf(adopted);
  assert.deepEqual((await agent.host({})).vms, [], 'nothing is known of it yet');
  await adopted.look();

  const [seen] = (await agent.host({})).vms;
  assert.deepEqual(seen, await agent.getVm({ params: { vm: 'theirs' } }));
  assert.ok(seen?.adopted);
  assert.equal(seen.state, 'running');
  assert.equal(seen.pid, qemu.pid);
  assert.deepEqual(seen.definition, {
    name: 'theirs',
    memoryMiB: 64,
    vcpus: 2,
    cpuModel: 'qemu64',
    machine: 'pc-q35-7.2',
    disks: [],
    nics: [],
  });
  assert.match(seen.immovable?.join('\n') ?? '', /did not start its QEMU.*one QMP socket.*files \(virtio-9p-pci\) cannot move/s);

  const params = { vm: 'theirs' };
  const spec = { migration: randomUUID(), suite: 'aes-256-gcm' } as MigrationSpec; // nobody gets as far as the rest
  const orders = {
    start: () => agent.startVm({ params }),
    stop: () => agent.stopVm({ params, body: { force: true } }),
    reset: () => agent.resetVm({ params }),
    suspend: () => agent.suspendVm({ params }),
    resume: () => agent.resumeVm({ params }),
    change: () => agent.changeVm({ params, body: bareVm('theirs') }),
    remove: () => agent.removeVm({ params }),
    console: () => agent.consoleOfVm({ params }),
    move: () => agent.outgoing({ body: { spec, vm: 'theirs' } as Parameters<typeof agent.outgoing>[0]['body'] }),
  };
  for (const [name, order] of Object.entries(orders)) {
    await assert.rejects(order(), (error) => code('wrong_state')(error) && /running and adopted/.test(String(error)), name);
  }
  await assert.rejects(agent.defineVm({ body: bareVm('theirs') }), code('already_exists'));

  // Its socket is free again for whoever started it, who pauses it.
  const owner = await QmpClient.connect(socket);
  await owner.execute('stop');
  owner.close();
  await owner.closed;
  await adopted.look();
  assert.equal((await agent.getVm({ params })).state, 'paused');

  const ended = once(qemu, 'exit');
  qemu.kill('SIGKILL');
  await ended;
  await adopted.look();
  const gone = await agent.getVm({ params });
  assert.deepEqual([gone.state, gone.pid], ['unknown', undefined]);
  assert.match(gone.immovable?.at(-1) ?? '', /does not answer/);
});

test('a socket that never answers delays nobody for long, and nothing is made up about it', async () => {
  const socket = join(directory, 'mute.sock');
  const server = createServer((client) => client.on('error', () => {}));
  server.listen(socket);
  await once(server, 'listening');
  try {
    const adopted = new AdoptedVms([{ name: 'mute', socket }], log);
    await adopted.look();
    assert.deepEqual(adopted.list(), []);
    assert.throws(() => adopted.requireOurs('mute'), code('wrong_state'));
    assert.throws(() => adopted.requireFree('mute'), code('already_exists'));
  } finally {
    server.close();
  }
});

test('a VM’s use of CPU, memory and disk is seen over the last interval; its reports go without one that is not known', async () => {
  // A boot sector: jmp to itself.
  const sector = Buffer.alloc(1024 * 1024);
  sector.set([0xeb, 0xfe]);
  sector.writeUInt16LE(0xaa55, 510);
  const path = join(directory, 'busy.raw');
  await writeFile(path, sector);
  const watch = new VmWatch(vms);
  const vm = await vms.define(bareVm('busy', { disks: [{ path, format: 'raw', shared: false }], cpuModel: 'max' }));
  await watch.look();
  assert.deepEqual(Object.keys(watch.of(vm)), ['immovable']);
  assert.match(watch.of(vm).immovable?.[0] ?? '', /max, is whatever the host has/);
  await vms.start('busy');
  await watch.look();
  assert.equal(watch.of(vm).stats, undefined, 'one look is no interval');

  let read = 0;
  let cpus = 0;
  for (const deadline = Date.now() + 30_000; read === 0 || cpus < 0.01; await sleep(50)) {
    assert.ok(Date.now() < deadline, `read ${read} bytes/s, used ${cpus} CPUs`);
    await watch.look();
    const { stats } = watch.of(vm);
    assert.ok(stats);
    read = Math.max(read, stats.diskBytesPerSecond.read);
    cpus = Math.max(cpus, stats.cpus);
    assert.ok(stats.residentBytes > 1024 * 1024);
    assert.deepEqual(stats.networkBytesPerSecond, { received: 0, sent: 0 });
  }
  await vms.stop('busy', true);
  assert.equal(watch.of(vm).stats, undefined);
  await watch.look();
  await vms.start('busy');
  await watch.look();
  assert.equal(watch.of(vm).stats, undefined, 'another QEMU counts anew');
});

test('the host says its CPU, what QEMU makes of it, its load, and no speed of a link that has none', async () => {
  const load = new HostLoad(['127.0.0.1']);
  const agent = await agentOf(new AdoptedVms([], log), { load });
  await load.look();
  const first = await agent.host({});
  assert.equal(first.load, undefined);
  assert.equal(first.linkMbps, undefined);
  assert.equal(first.canSeal, true);
  assert.ok(first.cpu && first.cpu.model !== '' && first.aesInstructions !== undefined);
  assert.ok(first.cpu.usable.includes('qemu64'));
  // TCG imitates no AVX-512 (7.2 to 10.0), and `host` needs KVM.
  assert.ok(first.cpu.missing['Skylake-Server']?.includes('avx512f'));
  assert.ok(first.cpu.missing['host'] && !first.cpu.usable.includes('host'));
  for (const deadline = Date.now() + 30_000; ; await sleep(20)) {
    await load.look();
    if (load.load) break;
    assert.ok(Date.now() < deadline);
  }
  const { load: seen } = await agent.host({});
  assert.ok(seen && seen.cpu >= 0 && seen.cpu <= 1 && seen.linkBytesPerSecond >= 0);
});

test('a host that must not seal says so and why, refuses what is to be sealed at both ends, and takes clear ones', async () => {
  const agent = await agentOf(new AdoptedVms([], log), { noSeal: true });
  const report = await agent.host({});
  assert.equal(report.canSeal, false);
  assert.match(report.cannotSealBecause ?? '', /alpha was started with --no-seal/);
  const spec = (suite: MigrationSpec['suite']) => ({ migration: randomUUID(), suite });
  const vm = bareVm('leaving', { encryption: 'opportunistic' });
  const coming = (suite: MigrationSpec['suite']) => ({ spec: spec(suite), vm: { ...vm, name: 'coming' } }) as never; // what the handler looks at
  await vms.define(vm);
  try {
    const leaving = { spec: spec('aes-256-gcm'), vm: vm.name } as never;
    await assert.rejects(agent.incoming({ body: coming('aes-256-gcm') }), code('encryption_required'));
    await assert.rejects(agent.outgoing({ body: leaving }), code('encryption_required'));
    await assert.doesNotReject(agent.incoming({ body: coming('none') }));
  } finally {
    await vms.remove(vm.name);
  }
});
