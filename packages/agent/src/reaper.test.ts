/** On real QEMU and real taps: what a crash leaves goes, whatever anybody else has there stays, and nothing that is being made is disturbed. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, it, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type AttemptReport, SealiftError, type VmDefinition } from '@sealift/contract';
import { commandLine, cont, isAlive, killQemu, launchQemu, type ProcessId, type RunningQemu } from '@sealift/hypervisor';
import { pino } from 'pino';
import { Reaper } from './reaper.ts';
import { isInside, needsRoot, runInNamespace } from './testing/namespace.ts';
import { VmHost } from './vms/host.ts';
import { createTap, tapName } from './vms/network.ts';
import { vmPaths } from './vms/paths.ts';

if (isInside()) defineTests();
else test('the reaper', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

function defineTests(): void {
  const nic = { bridge: 'slbr0', mac: '52:54:00:12:34:56' };
  const definition = (name: string): VmDefinition => ({
    ...{ name, memoryMiB: 64, vcpus: 1, cpuModel: 'qemu64', machine: 'pc-q35-7.2', disks: [], nics: [nic], encryption: 'opportunistic' },
  });
  const ended = randomUUID();
  const live = randomUUID();
  let directory: string;
  let host: VmHost;
  let reaper: Reaper;
  let qemus: ProcessId[];
  let others: ChildProcess[];

  before(() => {
    execFileSync('ip', ['link', 'add', 'slbr0', 'type', 'bridge']);
  });
  after(() => {
    execFileSync('ip', ['link', 'delete', 'slbr0']);
  });

  const get = async (migration: string): Promise<AttemptReport> => {
    if (migration !== live && migration !== ended) throw new SealiftError('not_found', 'no such migration');
    return { migration, attempt: 1, role: 'source', vm: 'web', phase: migration === live ? 'copying' : 'completed' };
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'slr-'));
    qemus = [];
    others = [];
    const log = pino({ level: 'silent' });
    const directories = { state: join(directory, 's'), run: join(directory, 'r') };
    for (const each of [join(directories.run, 'vms'), join(directories.run, 'migrations')]) mkdirSync(each, { recursive: true });
    host = await VmHost.open({ ...directories, qemu: { binary: 'qemu-system-x86_64', accel: 'tcg' }, memoryMiB: undefined, log });
    reaper = new Reaper({ vms: host, log }, { get }, directories);
  });

  afterEach(async () => {
    for (const vm of host.list()) if (vm.process) qemus.push(vm.process);
    host.close();
    for (const qemu of qemus) await killQemu(qemu);
    for (const other of others) {
      const gone = once(other, 'exit');
      if (other.exitCode === null && other.signalCode === null && other.kill('SIGKILL')) await gone;
    }
    for (const tap of taps()) execFileSync('ip', ['link', 'delete', tap]);
    await rm(directory, { recursive: true, force: true });
  });

  const taps = (): string[] => readdirSync('/sys/class/net').filter((name) => name.startsWith('sl') && name !== 'slbr0');
  const pathsOf = (name: string, run = 'r') => vmPaths(join(directory, 's'), join(directory, run), name);

  /** A QEMU as powerOn starts it, with everything but a record. */
  const stray = async (name: string, run = 'r'): Promise<RunningQemu> => {
    const paths = pathsOf(name, run);
    for (const each of [paths.stateDirectory, paths.runDirectory]) mkdirSync(each, { recursive: true });
    await createTap(tapName(name, 0), nic, join(directory, run));
    const how = { incoming: false, preallocate: false, paused: true, accel: 'tcg', tapNames: [tapName(name, 0)] } as const;
    const running = await launchQemu({
      binary: 'qemu-system-x86_64',
      argv: commandLine({ ...definition(name), disks: [] }, paths, how),
      logFile: paths.qemuLog,
      qmpSocket: paths.qmpSocket,
    });
    qemus.push(running.process);
    return running;
  };

  it('ends a QEMU that never ran and that no VM accounts for, and takes its tap and its directories', async () => {
    const { process, monitor } = await stray('gone');
    monitor.close();
    const { runDirectory, stateDirectory } = pathsOf('gone');
    const reaped = await reaper.sweep();
    assert.deepEqual(reaped, [`QEMU (process ${process.pid})`, `the tap ${tapName('gone', 0)}`, runDirectory, stateDirectory]);
    assert.equal(await isAlive(process), false);
    assert.deepEqual([taps(), existsSync(runDirectory), existsSync(stateDirectory)], [[], false, false]);
    assert.deepEqual(readdirSync(join(directory, 'r')), ['migrations', 'vms']);
    assert.deepEqual(await reaper.sweep(), []);
  });

  it('also one whose sockets are gone', async () => {
    const { process, monitor } = await stray('gone');
    monitor.close();
    await rm(pathsOf('gone').runDirectory, { recursive: true });
    await reaper.sweep();
    assert.equal(await isAlive(process), false);
  });

  for (const sockets of [true, false]) {
    it(`never ends a guest that has run, though nothing accounts for it${sockets ? '' : ' and its sockets are gone'}`, async () => {
      const { process, monitor } = await stray('lost');
      await cont(monitor);
      // Until its firmware has taken the first hundredths of a second: what is not to be taken for nothing.
      const ticks = () =>
        Number(execFileSync('sh', ['-c', `cat /proc/${process.pid}/task/*/stat | grep '(CPU 0' | sed 's/.*) //' | cut -d' ' -f12`]));
      while (ticks() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      monitor.close();
      if (!sockets) await rm(pathsOf('lost').runDirectory, { recursive: true });
      const reaped = await reaper.sweep();
      assert.deepEqual(
        reaped.filter((what) => what.startsWith('QEMU')),
        [],
      );
      assert.ok(await isAlive(process));
    });
  }

  it('leaves alone whatever is not its own', async () => {
    const other = await stray('other', 'o');
    other.monitor.close();
    const socket = pathsOf('ghost').qmpSocket;
    // Programs that merely speak of its sockets.
    others.push(spawn('sleep', ['600'], { argv0: `socket,id=qmp,path=${socket},server=on`, stdio: 'ignore' }));
    others.push(spawn('sh', ['-c', 'sleep 600; :', '-chardev', `x,path=${socket}`], { stdio: 'ignore', detached: true }));
    const near = ['sl0123456789-0', 'sl-mine', 'slabcdefabcd-1'];
    for (const name of near) execFileSync('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap']);
    execFileSync('ip', ['link', 'set', 'dev', 'sl-mine', 'alias', `sealift:${join(directory, 'r')}`]);
    execFileSync('ip', ['link', 'set', 'dev', 'slabcdefabcd-1', 'alias', `sealift:${join(directory, 'r')}2`]);
    const files = [
      join(directory, 'r/vms/notes'),
      join(directory, 's/vms/README'),
      join(directory, 'r/vms/theirs/data'),
      join(directory, 's/vms/disk/disk.qcow2'),
    ];
    for (const path of ['r/vms/theirs', 's/vms/disk', 'r/migrations/mine']) mkdirSync(join(directory, path));
    for (const file of files) writeFileSync(file, 'x');
    const before = taps();
    assert.deepEqual(
      (await reaper.sweep()).filter((what) => what !== pathsOf('other').stateDirectory),
      [],
    );
    assert.ok(await isAlive(other.process));
    for (const each of others) assert.equal(each.exitCode ?? each.signalCode, null);
    assert.deepEqual(taps(), before);
    for (const file of [...files, join(directory, 'r/migrations/mine')]) assert.ok(existsSync(file), file);
  });

  it('leaves every VM of this host alone, in whatever state', async () => {
    await host.define(definition('stopped'));
    await host.define({ ...definition('running'), nics: [{ ...nic, mac: '52:54:00:12:34:57' }] });
    await host.start('running');
    const incoming = await host.prepareIncoming(definition('coming'), { migration: live, preallocate: false });
    const before = taps();
    assert.deepEqual(await reaper.sweep(), []);
    assert.deepEqual([before.length, taps()], [2, before]);
    assert.deepEqual(
      host.list().map(({ state }) => state),
      ['stopped', 'running', 'moving-in'],
    );
    await host.discard(incoming);
  });

  it('takes the sockets of migrations that have ended, or that nobody knows; not of one that is under way', async () => {
    const root = join(directory, 'r/migrations');
    const unknown = randomUUID();
    for (const migration of [ended, live, unknown]) mkdirSync(join(root, migration));
    assert.deepEqual((await reaper.sweep()).toSorted(), [ended, unknown].map((id) => join(root, id)).sort());
    assert.deepEqual(readdirSync(root), [live]);
  });

  it('disturbs nothing that is being made, started or removed meanwhile', async () => {
    let going = true;
    const sweeping = (async () => {
      const reaped: string[] = [];
      while (going) reaped.push(...(await reaper.sweep()));
      return reaped;
    })();
    try {
      for (let round = 0; round < 4; round++) {
        const vm = await host.prepareIncoming(definition('coming'), { migration: randomUUID(), preallocate: false });
        assert.equal(taps().length, 1);
        await host.discard(vm);
        await host.define(definition('web'));
        await host.start('web');
        assert.equal(host.vm('web').state, 'running');
        await host.stop('web', true);
        await host.remove('web');
      }
    } finally {
      going = false;
    }
    assert.deepEqual(await sweeping, []);
  });
}
