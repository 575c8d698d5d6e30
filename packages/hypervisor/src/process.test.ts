import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { commandLine } from './command-line.ts';
import type { VmDefinition } from './definition.ts';
import { HypervisorError } from './error.ts';
import { cpuSeconds, parseStat, readStat } from './proc.ts';
import { findQemu, isAlive, killQemu, launchQemu, type RunningQemu } from './process.ts';
import { QmpClient } from './qmp/client.ts';
import { queryRunState, quit } from './run-state.ts';
import { pathsIn } from './testing/paths.ts';

const vm: VmDefinition = {
  name: 'probe',
  memoryMiB: 64,
  vcpus: 2,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  disks: [],
  nics: [],
};

async function inDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'hv,-'));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function launch(directory: string): Promise<RunningQemu> {
  const paths = pathsIn(directory);
  const disk = join(directory, 'disk,readonly=on.raw');
  await writeFile(disk, Buffer.alloc(65_536));
  const definition: VmDefinition = { ...vm, disks: [{ path: disk, format: 'raw', shared: false }] };
  const argv = commandLine(definition, paths, { accel: 'tcg', incoming: false, paused: false, preallocate: true, tapNames: [] });
  return launchQemu({ binary: 'qemu-system-x86_64', argv, logFile: join(directory, 'qemu.log'), qmpSocket: paths.qmpSocket });
}

it('starts QEMU in its own session, finds it again, accounts for its time, and sees it end', () =>
  inDirectory(async (directory) => {
    const { qmpSocket, spareQmpSocket, pidfile } = pathsIn(directory);
    const { process: qemu, monitor } = await launch(directory);
    try {
      assert.deepEqual(await findQemu(pidfile, qmpSocket), qemu);
      assert.equal(await findQemu(pidfile, `${qmpSocket}x`), undefined);
      const session = (await readFile(`/proc/${qemu.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ')[3];
      assert.equal(session, String(qemu.pid));

      monitor.close();
      for (const socket of [spareQmpSocket, qmpSocket]) {
        const again = await QmpClient.connect(socket);
        assert.equal(await queryRunState(again), 'running');
        if (socket === qmpSocket) await quit(again);
        again.close();
      }
      while (await isAlive(qemu)) await new Promise(setImmediate);
      assert.equal(await findQemu(pidfile, qmpSocket), undefined);
      assert.equal(await cpuSeconds(qemu.pid), undefined);
    } finally {
      await killQemu(qemu);
    }
  }));

it('counts vCPU threads apart from the rest', () =>
  inDirectory(async (directory) => {
    const { process: qemu, monitor } = await launch(directory);
    try {
      // SeaBIOS keeps a vCPU busy for some time after start.
      for (;;) {
        const used = await cpuSeconds(qemu.pid);
        assert.ok(used);
        if (used.vcpu > 0 && used.other > 0) break;
        await queryRunState(monitor);
      }
    } finally {
      monitor.close();
      await killQemu(qemu);
      assert.ok(!(await isAlive(qemu)));
    }
  }));

it('takes neither a stale pidfile nor another process for QEMU', () =>
  inDirectory(async (directory) => {
    const { pidfile, qmpSocket } = pathsIn(directory);
    assert.equal(await findQemu(pidfile, qmpSocket), undefined);
    for (const content of ['', 'x', '0', '1', String(process.pid), '999999999']) {
      await writeFile(pidfile, content);
      assert.equal(await findQemu(pidfile, qmpSocket), undefined, content);
    }
    const own = await readStat(process.pid);
    assert.ok(own && (await isAlive(own)));
    assert.ok(!(await isAlive({ ...own, startTicks: own.startTicks - 1 })));
  }));

it('says what QEMU said where it does not start, and leaves none behind', () =>
  inDirectory(async (directory) => {
    const { qmpSocket } = pathsIn(directory);
    const request = { argv: ['-machine', 'pc-q35-0.1'], logFile: join(directory, 'log'), qmpSocket };
    await writeFile(request.logFile, 'of an earlier start\n');
    await assert.rejects(launchQemu({ ...request, binary: 'qemu-system-x86_64' }), (error) => {
      assert.ok(error instanceof HypervisorError);
      assert.match(error.message, /exited with status 1; it said: .*unsupported machine type/s);
      assert.doesNotMatch(error.message, /earlier/);
      return error.code === 'start';
    });
    await assert.rejects(
      launchQemu({ ...request, binary: join(directory, 'none') }),
      (error) => error instanceof HypervisorError && error.code === 'missing',
    );
    await assert.rejects(
      launchQemu({ ...request, binary: '/bin/sleep', argv: ['1000'], deadlineMs: 100 }),
      (error) => error instanceof HypervisorError && error.code === 'start',
    );
  }));

it('reads a stat line whose name has parentheses and spaces', () => {
  const rest = Array.from({ length: 50 }, (_, i) => String(i + 4)).join(' ');
  assert.deepEqual(parseStat(`42 (a) b (c)) S ${rest}`), { pid: 42, comm: 'a) b (c)', state: 'S', cpuTicks: 14 + 15, startTicks: 22 });
});
