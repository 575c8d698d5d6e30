/** On real QEMU, without kernel and network: a machine whose firmware finds nothing to boot runs all the same. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SealiftError } from '@sealift/contract';
import { isAlive, killQemu, type ProcessId, queryRunState } from '@sealift/hypervisor';
import { pino } from 'pino';
import { bareVm } from '../testing/bare-vm.ts';
import { VmHost } from './host.ts';
import type { Vm } from './vm.ts';

const definition = (name: string, memoryMiB = 64) => bareVm(name, { memoryMiB, encryption: 'opportunistic' });
const migration = '5f0c1c52-6a0e-4f38-9b6b-0c2a5a1f7f10';

let directory: string;
let hosts: VmHost[];
let qemus: ProcessId[];

const open = async (options: { memoryMiB?: number; powerdownMs?: number } = {}): Promise<VmHost> => {
  const host = await VmHost.open({
    state: join(directory, 'state'),
    run: join(directory, 'run'),
    qemu: { binary: 'qemu-system-x86_64', accel: 'tcg' },
    memoryMiB: options.memoryMiB,
    ...(options.powerdownMs !== undefined && { powerdownMs: options.powerdownMs }),
    log: pino({ level: 'silent' }),
  });
  hosts.push(host);
  return host;
};

/** For cleaning up, and for looking whether it is gone. */
const note = (vm: Vm): ProcessId => {
  const { process } = vm;
  assert.ok(process, `${vm.name} has no QEMU`);
  qemus.push(process);
  return process;
};

const until = async (what: string, holds: () => boolean | Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 30_000; !(await holds()); await sleep(10)) {
    assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
  }
};

const code = (expected: string) => (error: unknown) => error instanceof SealiftError && error.code === expected;

const leftovers = (name: string): string[] =>
  [join(directory, 'state/vms', name), join(directory, 'run/vms', name)].filter((path) => existsSync(path));

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sealift-vms-'));
  hosts = [];
  qemus = [];
});

afterEach(async () => {
  for (const host of hosts) {
    for (const vm of host.list()) if (vm.process) qemus.push(vm.process);
    host.close();
  }
  for (const qemu of qemus) await killQemu(qemu);
  await rm(directory, { recursive: true, force: true });
});

test('a VM is defined, started, stopped and removed; each order that makes no sense is refused in words', async () => {
  const host = await open();
  await host.define(definition('web'));
  await assert.rejects(host.define(definition('web')), code('already_exists'));
  await assert.rejects(host.stop('web', false), code('wrong_state'));
  await assert.rejects(host.start('other'), code('not_found'));

  const vm = await host.start('web');
  const qemu = note(vm);
  assert.equal(vm.state, 'running');
  assert.equal(await queryRunState(vm.monitor), 'running');
  assert.equal(vm.report().pid, qemu.pid);
  assert.ok(Math.abs(Date.now() - (vm.report().startedAt ?? 0)) < 60_000);
  await assert.rejects(host.start('web'), code('wrong_state'));
  await assert.rejects(host.remove('web'), code('wrong_state'));

  await host.stop('web', true);
  assert.equal(vm.state, 'stopped');
  assert.equal(await isAlive(qemu), false);
  assert.deepEqual(leftovers('web'), [join(directory, 'state/vms/web')]);

  await host.remove('web');
  assert.deepEqual(leftovers('web'), []);
  assert.deepEqual(host.list(), []);
});

test('a guest that does not hear the power button is cut off when its time is up', async () => {
  const host = await open({ powerdownMs: 1 });
  await host.define(definition('deaf'));
  const qemu = note(await host.start('deaf'));
  await host.stop('deaf', false);
  assert.equal(await isAlive(qemu), false);
});

test('force cuts short a stop that waits for the guest', async () => {
  const host = await open({ powerdownMs: 600_000 });
  await host.define(definition('deaf'));
  note(await host.start('deaf'));
  const polite = host.stop('deaf', false);
  await host.stop('deaf', true);
  await polite;
  assert.equal(host.vm('deaf').state, 'stopped');
});

test('a QEMU that dies by itself leaves a crashed VM, nothing else, and it can be started again', async () => {
  const host = await open();
  await host.define(definition('fragile'));
  const vm = await host.start('fragile');
  await killQemu(note(vm));
  await until('it counts as crashed', () => vm.state === 'crashed');
  await until('its run files are gone', () => !existsSync(vm.paths.runDirectory));
  assert.match(vm.crashed ?? '', /qemu\.log/);
  host.close();

  const later = await open();
  assert.equal(later.vm('fragile').state, 'crashed');
  const again = await later.start('fragile');
  note(again);
  assert.equal(again.state, 'running');
});

test('an agent that comes back finds its VMs as they are', async () => {
  const first = await open();
  await first.define(definition('keeper'));
  await first.define(definition('idle'));
  await first.define(definition('victim'));
  const qemu = note(await first.start('keeper'));
  const victim = note(await first.start('victim'));
  first.close();
  await killQemu(victim);

  const second = await open();
  assert.deepEqual(
    second.list().map((vm) => [vm.name, vm.state]),
    [
      ['idle', 'stopped'],
      ['keeper', 'running'],
      ['victim', 'crashed'],
    ],
  );
  assert.deepEqual(second.vm('keeper').process, qemu);
  assert.match(second.vm('victim').crashed ?? '', /while no agent was there/);
  assert.deepEqual(leftovers('victim'), [join(directory, 'state/vms/victim')]);
});

test('a paused VM stays paused across agents', async () => {
  const first = await open();
  await first.define(definition('still'));
  const vm = await first.start('still');
  note(vm);
  await vm.monitor.execute('stop');
  assert.equal(vm.state, 'paused');
  await assert.rejects(first.stop('still', false), code('wrong_state'));
  first.close();
  assert.equal((await open()).vm('still').state, 'paused');
});

test('a VM that was started and not yet run when its agent ended is paused, and can be resumed', async () => {
  const first = await open();
  await first.define(definition('early'));
  const vm = await first.start('early');
  note(vm);
  // What QEMU is in before its first cont; a reset of a paused machine leads back there.
  await first.suspend('early');
  await first.reset('early');
  first.close();
  const second = await open();
  assert.equal(await queryRunState(second.vm('early').monitor), 'prelaunch');
  assert.equal(second.vm('early').state, 'paused');
  assert.equal((await second.resume('early')).state, 'running');
});

test('a definition that was changed is the one that the next agent has; what needs the VM off is named', async () => {
  const first = await open();
  await first.define(definition('tuned'));
  const more = { ...definition('tuned', 96), vcpus: 2 };
  await first.change('tuned', more);
  note(await first.start('tuned'));
  await assert.rejects(
    first.change('tuned', { ...definition('tuned'), encryption: 'disabled' }),
    (error) => code('wrong_state')(error) && /tuned is running.*Stop it to change memoryMiB, vcpus$/.test(String(error)),
  );
  await first.change('tuned', { ...more, encryption: 'disabled' });
  first.close();
  assert.deepEqual((await open()).vm('tuned').definition, { ...more, encryption: 'disabled' });
});

test('a start that fails leaves nothing, and says what QEMU said', async () => {
  const host = await open();
  await host.define({ ...definition('wrong'), kernelBoot: { kernel: '/nonexistent/vmlinuz', cmdline: '' } });
  await assert.rejects(host.start('wrong'), /nonexistent/);
  assert.equal(host.vm('wrong').state, 'stopped');
  assert.deepEqual(leftovers('wrong'), [join(directory, 'state/vms/wrong')]);
  assert.equal((await host.memory()).reserved, 0);
});

test('a missing bridge is said with those that there are', async () => {
  const host = await open();
  await host.define({ ...definition('wired'), nics: [{ bridge: 'nosuchbridge', mac: '52:54:00:12:34:56' }] });
  await assert.rejects(host.start('wired'), (error) => code('no_room')(error) && /no bridge nosuchbridge/.test(String(error)));
});

test('memory that is not there is refused with figures, also to two that come at once', async () => {
  const host = await open({ memoryMiB: 300 });
  for (const name of ['one', 'two']) await host.define(definition(name, 128));
  const started = await Promise.allSettled([host.start('one'), host.start('two')]);
  for (const vm of host.list()) if (vm.process) note(vm);
  const refused = started.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  assert.equal(refused.length, 1);
  assert.ok(code('no_room')(refused[0]));
  assert.match(String(refused[0]), /needs 224 MiB of memory and this host has 76 MiB left: 224 MiB of 300 MiB/);
});

test('an incoming VM waits, is not running, and refuses orders until it is adopted', async () => {
  const host = await open();
  const vm = await host.prepareIncoming(definition('guest'), { migration });
  note(vm);
  assert.equal(vm.state, 'moving-in');
  assert.equal(vm.report().migration, migration);
  assert.equal(await queryRunState(vm.monitor), 'inmigrate');
  await assert.rejects(
    host.start('guest'),
    (error) => code('migrating')(error) && (error as SealiftError).details?.['migration'] === migration,
  );
  await assert.rejects(host.stop('guest', true), code('migrating'));
  await assert.rejects(host.remove('guest'), code('migrating'));
  await assert.rejects(host.define(definition('guest')), code('already_exists'));

  await host.adoptIncoming(vm);
  await host.adoptIncoming(vm);
  assert.equal(vm.incoming, undefined);
  assert.equal(vm.moving, undefined);
  host.close();
  assert.equal((await open()).vm('guest').incoming, undefined);
});

test('an agent that comes back finds an incoming VM as incoming; discarding leaves nothing and can be repeated', async () => {
  const first = await open();
  const qemu = note(await first.prepareIncoming(definition('guest'), { migration, preallocate: false }));
  first.close();

  const second = await open();
  const vm = second.vm('guest');
  assert.equal(vm.incoming, migration);
  assert.equal(vm.state, 'moving-in');
  await Promise.all([second.discard(vm), second.discard(vm)]);
  await second.discard(vm);
  assert.equal(await isAlive(qemu), false);
  assert.equal(second.find('guest'), undefined);
  assert.deepEqual(leftovers('guest'), []);
  assert.equal((await second.memory()).reserved, 0);
});

test('an incoming VM that cannot be made leaves nothing', async () => {
  const host = await open();
  const wired = { ...definition('guest'), nics: [{ bridge: 'nosuchbridge', mac: '52:54:00:12:34:56' }] };
  await assert.rejects(host.prepareIncoming(wired, { migration }), code('no_room'));
  assert.deepEqual(leftovers('guest'), []);
  assert.deepEqual(host.list(), []);
});

test('while a VM moves, its QEMU may go without the host touching anything; afterwards it is looked after', async () => {
  const host = await open();
  await host.define(definition('mover'));
  const vm = await host.start('mover');
  const qemu = note(vm);
  vm.setMoving('moving-out', migration);
  assert.equal(vm.state, 'moving-out');
  await assert.rejects(host.stop('mover', true), code('migrating'));
  const { exited } = vm;
  await killQemu(qemu);
  await exited;
  assert.equal(vm.state, 'moving-out');
  assert.ok(existsSync(vm.paths.runDirectory));
  vm.setMoving('in-doubt');
  assert.equal(vm.state, 'in-doubt');
  assert.equal(vm.migration, migration);
  vm.setMoving(undefined);
  await until('it counts as crashed', () => vm.state === 'crashed' && !existsSync(vm.paths.runDirectory));
});

test('no migration takes hold of a VM that is being stopped', async () => {
  const host = await open({ powerdownMs: 600_000 });
  await host.define(definition('busy'));
  const vm = await host.start('busy');
  note(vm);
  const polite = host.stop('busy', false);
  assert.throws(() => vm.setMoving('moving-out', migration), code('wrong_state'));
  await host.stop('busy', true);
  await polite;
});

test('a released VM is gone from this host', async () => {
  const host = await open();
  await host.define(definition('leaver'));
  const vm = await host.start('leaver');
  const qemu = note(vm);
  vm.setMoving('moving-out', migration);
  await host.release(vm, 'keep');
  await host.release(vm, 'keep');
  assert.equal(await isAlive(qemu), false);
  assert.deepEqual(leftovers('leaver'), []);
  assert.deepEqual(host.list(), []);
});

test('a removal that was cut short is finished by the next agent, and never becomes a VM to start', async () => {
  const first = await open();
  await first.define(definition('leaver'));
  const vm = await first.start('leaver');
  const qemu = note(vm);
  first.close();
  await writeFile(vm.paths.definition, JSON.stringify({ definition: vm.definition, leaving: true }));

  const second = await open();
  assert.deepEqual(second.list(), []);
  assert.equal(await isAlive(qemu), false);
  assert.deepEqual(leftovers('leaver'), []);
});

test('what a crash left of a VM that was never acknowledged is no VM; a damaged definition is said', async () => {
  const state = join(directory, 'state/vms/half');
  await mkdir(state, { recursive: true });
  await writeFile(join(state, 'definition.json.new'), '{"defin');
  assert.deepEqual((await open()).list(), []);
  await writeFile(join(state, 'definition.json'), '{"defin');
  await assert.rejects(open(), /half\/definition\.json does not hold the definition of a VM/);
  assert.equal(readdirSync(join(directory, 'state/vms')).length, 1);
});

test('a guest that powers off leaves a stopped VM and no QEMU, also when no agent was there to hear of it', async () => {
  // A boot sector: outw(0x604, 0x2000), which is SLP_EN to q35's PM1a control register; then hlt for ever.
  const sector = Buffer.alloc(1024 * 1024); // the firmware reads no disk of less than a cylinder
  sector.set([0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd]);
  sector.writeUInt16LE(0xaa55, 510);
  const path = join(directory, 'poweroff.raw');
  await writeFile(path, sector);
  const first = await open();
  const vm = await first.define({ ...definition('brief'), disks: [{ path, format: 'raw', shared: false }] });
  const qemu = note(await first.start('brief'));
  await vm.exited;
  await until('it is stopped and cleared up', () => vm.state === 'stopped' && !existsSync(vm.paths.runDirectory));
  assert.equal(vm.crashed, undefined);
  assert.equal(await isAlive(qemu), false);

  const again = note(await first.start('brief'));
  first.close();
  const second = await open();
  const found = second.vm('brief');
  await until('it is stopped and cleared up', () => found.state === 'stopped' && !existsSync(found.paths.runDirectory));
  assert.equal(await isAlive(again), false);
});

test('the console serves one at a time, and the next when that one has gone', async () => {
  const host = await open();
  await host.define(definition('talker'));
  await assert.rejects(host.console('talker'), code('wrong_state'));
  note(await host.start('talker'));
  const console = await host.console('talker');
  await assert.rejects(host.console('talker'), (error) => code('wrong_state')(error) && /in use/.test(String(error)));
  const closed = new Promise((resolve) => console.once('close', resolve));
  console.destroy();
  await closed;
  (await host.console('talker')).destroy();
});
