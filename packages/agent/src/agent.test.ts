/**
 * The whole agent as a process, in a network namespace of its own:
 *
 *     test (client, mTLS) ── 127.0.0.1:8652 ── agent ── QMP ── QEMU ── tap ── bridge slbr0
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SealiftError, type VmDefinition } from '@sealift/contract';
import { findQemu, isAlive, killQemu } from '@sealift/hypervisor';
import type { RawOptions } from './options.ts';
import { bareVm } from './testing/bare-vm.ts';
import { type CertificateFiles, TestAuthority } from './testing/certificates.ts';
import { connectAgent, openConsole } from './testing/client.ts';
import { isInside, needsRoot, runInNamespace } from './testing/namespace.ts';
import { vmPaths } from './vms/paths.ts';

if (isInside()) defineTests();
else test('the agent as a process', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

function defineTests(): void {
  const endpoint = '127.0.0.1:8652';
  const definition = bareVm('web', { nics: [{ bridge: 'slbr0', mac: '52:54:00:12:34:56' }] });
  let directory: string;
  let options: RawOptions;
  let manager: CertificateFiles;
  let stranger: CertificateFiles;
  const agents: ChildProcess[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sealift-agent-'));
    const authority = await TestAuthority.create(directory);
    manager = await authority.issue('manager.sealift');
    stranger = await authority.issue('bravo.agent.sealift');
    options = {
      name: 'alpha',
      state: join(directory, 'state'),
      run: join(directory, 'run'),
      listen: endpoint,
      migrationListen: ['127.0.0.1:8651'],
      ...(await authority.issue('alpha.agent.sealift')),
      accel: 'tcg',
      qemu: 'qemu-system-x86_64',
    };
    execFileSync('ip', ['link', 'add', 'slbr0', 'mtu', '1400', 'type', 'bridge']);
    execFileSync('ip', ['link', 'set', 'slbr0', 'up']);
  });

  afterEach(async () => {
    for (const agent of agents.splice(0)) await end(agent, 'SIGKILL');
    const run = join(options.run, 'vms');
    for (const name of existsSync(run) ? readdirSync(run) : []) {
      const paths = vmPaths(options.state, options.run, name);
      const qemu = await findQemu(paths.pidfile, paths.qmpSocket);
      if (qemu) await killQemu(qemu);
    }
    await rm(options.state, { recursive: true, force: true });
    await rm(options.run, { recursive: true, force: true });
  });

  after(() => rm(directory, { recursive: true, force: true }));

  const end = async (agent: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
    if (agent.exitCode !== null || agent.signalCode !== null) return;
    const ended = once(agent, 'exit');
    agent.kill(signal);
    await ended;
  };

  const launch = (changed: Partial<RawOptions> = {}): ChildProcess => {
    const script = fileURLToPath(new URL('./testing/agent-process.ts', import.meta.url));
    const agent = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, JSON.stringify({ ...options, ...changed })], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    agents.push(agent);
    return agent;
  };

  /** Resolves when it serves. */
  const start = async (changed: Partial<RawOptions> = {}): Promise<ChildProcess> => {
    const agent = launch(changed);
    const { promise, resolve, reject } = Promise.withResolvers<ChildProcess>();
    let said = '';
    agent.stderr?.on('data', (bytes) => {
      said += bytes;
      if (said.includes('"msg":"ready"')) resolve(agent);
    });
    agent.once('exit', () => reject(new Error(`the agent did not start:\n${said}`)));
    return promise;
  };

  /** What it says and how it ends when it cannot start. */
  const refusal = async (changed: Partial<RawOptions>): Promise<string> => {
    const agent = launch(changed);
    const exited = once(agent, 'exit');
    let said = '';
    for await (const bytes of agent.stderr ?? []) said += bytes;
    const [status] = await exited;
    assert.equal(status, 69, said);
    assert.equal(said.trim().split('\n').length, 1, `one sentence, not: ${said}`);
    return said;
  };

  const client = (files = manager) => connectAgent(endpoint, 'alpha', files);
  const taps = (): string[] => readdirSync('/sys/class/net').filter((name) => name.startsWith('sl') && name !== 'slbr0');
  const code = (expected: string) => (error: unknown) => error instanceof SealiftError && error.code === expected;

  test('a VM lives on its bridge while agents come and go, and leaves nothing when it is removed', async () => {
    const first = await start();
    const created = await client().defineVm({ body: definition });
    assert.deepEqual(created.definition, definition);
    assert.equal(created.state, 'stopped');
    const running = await client().startVm({ params: { vm: 'web' } });
    assert.equal(running.state, 'running');
    const [tap] = taps();
    assert.ok(tap && tap.length <= 15);
    assert.match(execFileSync('ip', ['link', 'show', tap], { encoding: 'utf8' }), /mtu 1400 .*master slbr0[\s\S]*fe:54:00:12:34:56/);

    const paths = vmPaths(options.state, options.run, 'web');
    const qemu = await findQemu(paths.pidfile, paths.qmpSocket);
    assert.equal(qemu?.pid, running.pid);
    await end(first, 'SIGKILL');
    await end(await start(), 'SIGTERM');
    assert.ok(qemu && (await isAlive(qemu)));

    await start();
    const found = await client().getVm({ params: { vm: 'web' } });
    assert.equal(found.state, 'running');
    assert.equal(found.pid, running.pid);
    assert.deepEqual(taps(), [tap]);

    assert.equal((await client().stopVm({ params: { vm: 'web' }, body: { force: true } })).state, 'stopped');
    await client().removeVm({ params: { vm: 'web' } });
    assert.deepEqual(taps(), []);
    await assert.rejects(client().getVm({ params: { vm: 'web' } }), code('not_found'));
    assert.deepEqual(readdirSync(join(options.state, 'vms')), []);
    assert.deepEqual(readdirSync(join(options.run, 'vms')), []);
  });

  test('what a crash has left is gone once the agent serves; what is not its own stays', async () => {
    const left = [join(options.run, 'vms/ghost/pid'), join(options.state, 'vms/ghost/qemu.log'), join(options.state, 'journal.new')];
    const foreign = join(options.state, 'vms/theirs/disk.qcow2');
    for (const file of [...left, foreign]) {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, '');
    }
    await start();
    assert.deepEqual([...left, foreign].filter(existsSync), [foreign]);
    const elsewhere = { listen: '127.0.0.1:8662', migrationListen: ['127.0.0.1:8661'], state: join(directory, 'other-state') };
    assert.match(await refusal(elsewhere), /another agent runs on .*run; stop it first/);
  });

  test('it says what its host is', async () => {
    await start();
    await client().defineVm({ body: definition });
    const host = await client().host();
    assert.equal(host.name, 'alpha');
    assert.match(host.keyHash, /^[0-9a-f]{64}$/);
    const spki = execFileSync(
      'sh',
      ['-c', `openssl x509 -in ${options.cert} -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum`],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(host.keyHash, spki.slice(0, 64));
    assert.match(host.qemu.version, /^\d+\.\d+\.\d+$/);
    assert.ok(host.qemu.machines.includes('pc-q35-7.2'));
    assert.ok(host.qemu.capabilities.includes('multifd'));
    assert.equal(host.qemu.accel, 'tcg');
    assert.deepEqual(host.bridges, ['slbr0']);
    assert.deepEqual(host.migrationEndpoints, ['127.0.0.1:8651']);
    assert.equal(host.memory.reserved, 0);
    assert.ok(host.memory.available > 0 && host.memory.available <= host.memory.total);
    assert.deepEqual(
      host.vms.map(({ definition: { name }, state }) => [name, state]),
      [['web', 'stopped']],
    );
  });

  test('an adopted QEMU is shown, and runs on when the agent has gone; a host may be told not to seal', async () => {
    const socket = join(directory, 'theirs.sock');
    const argv = ['-M', 'pc-q35-7.2', '-accel', 'tcg', '-nodefaults', '-display', 'none', '-qmp', `unix:${socket},server=on,wait=off`];
    const qemu = spawn('qemu-system-x86_64', argv, { stdio: 'ignore' });
    try {
      while (!existsSync(socket) && qemu.exitCode === null) await new Promise(setImmediate);
      const agent = await start({ adopt: [`theirs=${socket}`], seal: false });
      const host = await client().host();
      assert.deepEqual([host.canSeal, host.cannotSealBecause], [false, 'the agent of alpha was started with --no-seal']);
      assert.deepEqual(
        host.vms.map(({ definition: { name }, adopted, pid }) => [name, adopted, pid]),
        [['theirs', true, qemu.pid]],
      );
      await assert.rejects(client().stopVm({ params: { vm: 'theirs' }, body: { force: true } }), code('wrong_state'));
      await end(agent, 'SIGTERM');
      assert.deepEqual([qemu.exitCode, qemu.signalCode], [null, null]);
      assert.match(await refusal({ adopt: ['theirs'] }), /--adopt theirs: give a name, a DNS label, and the absolute path/);
      assert.match(await refusal({ adopt: [`x=${options.run}/vms/x/qmp.sock`] }), /in the agent's own run directory/);
      assert.match(await refusal({ adopt: [`x=${socket}`, `y=${socket}`] }), /another --adopt has the same name or socket/);
    } finally {
      await end(qemu, 'SIGKILL');
    }
  });

  test("only the manager's certificate is served", async () => {
    await start();
    await assert.rejects(client(stranger).host(), code('not_authorised'));
    await assert.rejects(openConsole(endpoint, 'alpha', stranger, 'web'), /not_authorised/);
    const other = await mkdtemp(join(directory, 'other-'));
    const impostor = await (await TestAuthority.create(other)).issue('manager.sealift');
    await assert.rejects(client({ ...impostor, ca: manager.ca }).host(), code('agent_unreachable'));
    const tls12 = spawn('openssl', ['s_client', '-connect', endpoint, '-tls1_2', '-cert', manager.cert, '-key', manager.key], {
      stdio: 'ignore',
    });
    assert.notEqual((await once(tls12, 'exit'))[0], 0);
  });

  test('what the contract does not know is refused in its own words', async () => {
    await start();
    const wrong = { ...definition, surprise: true } as VmDefinition; // what no type lets through is what is tested
    await assert.rejects(client().defineVm({ body: wrong }), code('invalid_request'));
    await assert.rejects(client().defineVm({ body: { ...definition, memoryMiB: 1 } }), code('invalid_request'));
    await assert.rejects(
      client()
        .defineVm({ body: { ...definition, cpuModel: 'help', name: 'x' } })
        .then(() => client().startVm({ params: { vm: 'x' } })),
      code('invalid_request'),
    );
    await assert.rejects(client().getAttempt({ params: { migration: 'not-a-uuid' } }), code('invalid_request'));
  });

  test('attempts are passed on, and their absence is an error also of the stream of events', async () => {
    await start();
    const migration = '5f0c1c52-6a0e-4f38-9b6b-0c2a5a1f7f10';
    assert.equal((await client().offerKey({ body: { migration, attempt: 1 } })).publicKey.length, 43);
    await assert.rejects(client().getAttempt({ params: { migration } }), code('not_found'));
    await assert.rejects(client().watchAttempt({ params: { migration } }).next(), code('not_found'));

    const { keyHash } = await client().host();
    const spec = {
      protocolVersion: 1,
      migration,
      attempt: 1,
      nonce: 'AAAAAAAAAAA',
      suite: 'aes-256-gcm' as const,
      source: { name: 'alpha', keyHash },
      destination: { name: 'bravo', keyHash },
      channels: 2,
      limits: { bandwidthBytesPerSecond: 0, downtimeMs: 30, maxDowntimeMs: 300, deadlineMs: 1000, maxThrottlePercent: 80, postcopy: false },
      expiresAt: 1,
    };
    const key = { ephemeral: 'A'.repeat(43), sealed: 'A'.repeat(64) };
    await client().defineVm({ body: { ...definition, nics: [], disks: [] } });
    const accepted = await client().outgoing({ body: { spec, key, vm: 'web', endpoints: ['127.0.0.1:8651'], peer: '127.0.0.1:8652' } });
    assert.equal(accepted.phase, 'preparing');
    const phases: string[] = [];
    for await (const report of client().watchAttempt({ params: { migration } })) phases.push(report.phase);
    assert.deepEqual(phases, ['preparing', 'copying', 'completed']);
    await client().removeVm({ params: { vm: 'web' } });
  });

  test('the console carries the bytes of the serial port, to one at a time', async () => {
    // A boot sector that echoes COM1: wait for data ready in 0x3fd, read 0x3f8, write 0x3f8, again.
    const sector = Buffer.alloc(1024 * 1024); // the firmware reads no disk of less than a cylinder
    sector.set([0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8, 0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb, 0xf1]);
    sector.writeUInt16LE(0xaa55, 510);
    const path = join(directory, 'echo.raw');
    await writeFile(path, sector);
    await start();
    await client().defineVm({ body: { ...definition, nics: [], disks: [{ path, format: 'raw', shared: false }] } });
    await client().startVm({ params: { vm: 'web' } });
    const console = await openConsole(endpoint, 'alpha', manager, 'web');
    const echo = once(console, 'message', { signal: AbortSignal.timeout(60_000) });
    const knocking = setInterval(() => console.send(Buffer.from([0xa5])), 20); // until the firmware has booted the sector
    const [bytes, isBinary] = await echo.finally(() => clearInterval(knocking));
    assert.ok(isBinary && Buffer.from(bytes).includes(0xa5));
    await assert.rejects(openConsole(endpoint, 'alpha', manager, 'web'), /console is in use/);
    const closed = once(console, 'close');
    console.close();
    await closed;
    await client().stopVm({ params: { vm: 'web' }, body: { force: true } });
    await assert.rejects(openConsole(endpoint, 'alpha', manager, 'web'), /has no console/);
  });

  test('it says in one sentence why it cannot start', async () => {
    const taken = createServer().listen(8652, '127.0.0.1');
    try {
      await once(taken, 'listening');
      assert.match(await refusal({}), /cannot listen on 127\.0\.0\.1:8652: the port is taken/);
    } finally {
      taken.close();
    }
    await once(taken, 'close');

    assert.match(await refusal({ name: 'Alpha' }), /DNS label/);
    assert.match(await refusal({ name: 'bravo' }), /must carry the DNS name bravo\.agent\.sealift and carries DNS:alpha\.agent\.sealift/);
    assert.match(await refusal({ key: manager.key }), /is not the key of the certificate/);
    assert.match(await refusal({ cert: join(directory, 'missing.crt') }), /--cert .*missing\.crt cannot be read: ENOENT/);
    assert.match(await refusal({ listen: '192.0.2.1:8652' }), /this host does not have the address/);
    assert.match(await refusal({ migrationListen: ['0.0.0.0:8651'] }), /name an address that the other hosts reach/);
    assert.match(await refusal({ run: join(directory, 'x'.repeat(60)) }), /--run .* is too long/);
    assert.match(
      await refusal({ pool: ['fast=/nonexistent'] }),
      /--pool fast=\/nonexistent cannot be used: ENOENT.*make the directory, or mount it/,
    );
    assert.match(await refusal({ qemu: '/nonexistent/qemu' }), /QEMU cannot be run as \/nonexistent\/qemu/);
    const old = join(directory, 'old-qemu');
    await writeFile(
      old,
      `#!/bin/sh\necho '{"QMP": {"version": {"qemu": {"major": 6, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}'\nread x\necho '{"return": {}, "id": 1}'\nread x\n`,
    );
    await chmod(old, 0o755);
    assert.match(await refusal({ qemu: old }), /is QEMU 6\.2\.0; sealift needs 7\.2 or later/);

    await start();
    assert.match(await refusal({ listen: '127.0.0.1:8662' }), /another agent runs on/);
  });
}
