/**
 * Two agents in one process, in a network namespace of their own, move real VMs between each other:
 *
 *     alpha 127.0.0.1 ── sealed channels ── 127.0.0.2 bravo
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cont, killQemu, queryRunState, stop } from '@sealift/hypervisor';
import { createLog } from '../log.ts';
import { checkOptions } from '../options.ts';
import { type RunningAgent, runAgent } from '../run.ts';
import { bareVm } from '../testing/bare-vm.ts';
import { TestAuthority } from '../testing/certificates.ts';
import { isInside, needsRoot, runInNamespace } from '../testing/namespace.ts';
import { follow, order, testSpec } from '../testing/order.ts';
import { createAttempts } from './index.ts';

if (isInside()) defineTests();
else test('migrations between two agents', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

function defineTests(): void {
  const definition = bareVm('web');
  let directory: string;
  let alpha: RunningAgent;
  let bravo: RunningAgent;

  /** Short: the path of a unix socket has at most 107 bytes. */
  const runOf = (name: string): string => join(directory, name.slice(0, 1));

  const startAgent = async (authority: TestAuthority, name: string, address: string): Promise<RunningAgent> => {
    const options = checkOptions({
      name,
      state: join(directory, name, 'state'),
      run: runOf(name),
      listen: `${address}:8652`,
      migrationListen: [`${address}:8651`],
      ...(await authority.issue(`${name}.agent.sealift`)),
      accel: 'tcg',
      qemu: 'qemu-system-x86_64',
      threads: '2',
    });
    return runAgent(options, createAttempts, '0.0.0-test', createLog({ daemon: name }, 'silent'));
  };

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'slm-'));
    const authority = await TestAuthority.create(directory);
    alpha = await startAgent(authority, 'alpha', '127.0.0.1');
    bravo = await startAgent(authority, 'bravo', '127.0.0.2');
  });

  afterEach(async () => {
    for (const agent of [alpha, bravo]) {
      for (const vm of agent.host.vms.list()) {
        if (vm.process) await killQemu(vm.process);
        await vm.exited;
        await agent.host.vms.discard(vm);
      }
    }
  });

  after(async () => {
    await alpha?.stop();
    await bravo?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const boot = async (): Promise<void> => {
    await alpha.host.vms.define(definition);
    await alpha.host.vms.start('web');
  };

  /** What an attempt may leave on a host: VMs, sockets, definitions, listening ports. */
  const left = (agent: RunningAgent, name: string) => ({
    vms: agent.host.vms.list().map((vm) => vm.name),
    migrations: readdirSync(join(runOf(name), 'migrations')),
    run: readdirSync(join(runOf(name), 'vms')),
    definitions: readdirSync(join(directory, name, 'state', 'vms')),
  });
  const nothing = { vms: [], migrations: [], run: [], definitions: [] };

  for (const [suite, channels] of [
    ['aes-256-gcm', 4],
    ['aes-256-gcm', 2],
    ['none', 4],
  ] as const) {
    it(`moves a running VM: suite ${suite}, ${channels} channels`, async () => {
      await boot();
      const spec = testSpec(alpha, bravo, { suite, channels });
      await order(alpha, bravo, 'web', spec);
      const [source, destination] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
      assert.equal(source.phase, 'completed', source.failure?.message);
      assert.equal(destination.phase, 'completed', destination.failure?.message);
      assert.equal(await queryRunState(bravo.host.vms.vm('web').monitor), 'running');
      assert.equal(bravo.host.vms.vm('web').state, 'running');
      assert.deepEqual(left(alpha, 'alpha'), nothing);
      assert.deepEqual(left(bravo, 'bravo').migrations, []);
      assert.equal(source.result?.bytesOnWire, destination.result?.bytesOnWire);
      assert.ok((source.result?.switchOverMs ?? 0) > 0);
      assert.equal(source.progress?.channels.length, channels);
    });
  }

  it('moves it back again', async () => {
    await boot();
    const there = testSpec(alpha, bravo);
    await order(alpha, bravo, 'web', there);
    await Promise.all([follow(alpha, there.migration), follow(bravo, there.migration)]);
    const back = testSpec(bravo, alpha);
    await order(bravo, alpha, 'web', back);
    assert.equal((await follow(bravo, back.migration)).phase, 'completed');
    await follow(alpha, back.migration);
    assert.equal(alpha.host.vms.vm('web').state, 'running');
    assert.deepEqual(left(bravo, 'bravo'), nothing);
  });

  it('brings a paused VM paused', async () => {
    await boot();
    await stop(alpha.host.vms.vm('web').monitor);
    const spec = testSpec(alpha, bravo);
    await order(alpha, bravo, 'web', spec);
    assert.equal((await follow(alpha, spec.migration)).phase, 'completed');
    await follow(bravo, spec.migration);
    const { monitor } = bravo.host.vms.vm('web');
    assert.equal(await queryRunState(monitor), 'paused');
    await cont(monitor);
    assert.equal(await queryRunState(monitor), 'running');
  });

  it('a cancel after the grant is refused, at either side and until the very end: none is accepted that does not cancel', async () => {
    await boot();
    const spec = testSpec(alpha, bravo);
    await order(alpha, bravo, 'web', spec);
    const isRefused = ({ attempts }: RunningAgent) => assert.rejects(attempts.cancel(spec.migration), { code: 'wrong_state' });
    const phaseAt = async ({ attempts }: RunningAgent) => (await attempts.get(spec.migration)).phase;
    const granted = ['granted', 'releasing', 'completed'];
    await follow(alpha, spec.migration, ({ phase }) => granted.includes(phase));
    for (let phase = 'granted'; phase !== 'completed'; phase = await phaseAt(alpha)) {
      await isRefused(alpha);
      if (phase === 'releasing') await isRefused(bravo);
      await immediate();
    }
    assert.equal((await follow(bravo, spec.migration)).phase, 'completed');
    await isRefused(bravo);
  });

  describe('cancelled before the grant', () => {
    for (const phase of ['connecting', 'copying'] as const) {
      it(`while ${phase}: the VM runs on at the source, and nothing is left of the attempt`, async () => {
        await boot();
        const before = left(alpha, 'alpha');
        const spec = testSpec(alpha, bravo, { limits: { bandwidthBytesPerSecond: 20_000 } });
        await order(alpha, bravo, 'web', spec);
        await follow(alpha, spec.migration, (report) => report.phase === phase);
        await alpha.attempts.cancel(spec.migration);
        const [source, destination] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
        assert.equal(source.phase, 'cancelled');
        assert.equal(source.failure?.code, 'cancelled');
        assert.notEqual(destination.phase, 'completed');
        assert.equal(await queryRunState(alpha.host.vms.vm('web').monitor), 'running');
        assert.deepEqual(left(alpha, 'alpha'), before);
        assert.deepEqual(left(bravo, 'bravo'), nothing);
        await assert.rejects(alpha.attempts.cancel(spec.migration), { code: 'wrong_state' });
      });
    }

    it('and may then be moved after all', async () => {
      await boot();
      const first = testSpec(alpha, bravo, { limits: { bandwidthBytesPerSecond: 20_000 } });
      await order(alpha, bravo, 'web', first);
      await follow(alpha, first.migration, (report) => report.phase === 'copying');
      await alpha.attempts.cancel(first.migration);
      await Promise.all([follow(alpha, first.migration), follow(bravo, first.migration)]);
      const second = testSpec(alpha, bravo);
      await order(alpha, bravo, 'web', second);
      const [moved] = await Promise.all([follow(alpha, second.migration), follow(bravo, second.migration)]);
      assert.equal(moved.phase, 'completed');
    });
  });

  it('gives up at its deadline, and the VM runs on', async () => {
    await boot();
    const spec = testSpec(alpha, bravo, { limits: { bandwidthBytesPerSecond: 20_000, deadlineMs: 1500 } });
    await order(alpha, bravo, 'web', spec);
    const [source] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
    assert.equal(source.phase, 'failed');
    assert.match(source.failure?.message ?? '', /deadline of 1.5 s/);
    assert.equal(alpha.host.vms.vm('web').state, 'running');
  });

  it('keeps the VM at the source when the destination’s QEMU dies', async () => {
    await boot();
    const spec = testSpec(alpha, bravo, { limits: { bandwidthBytesPerSecond: 20_000 } });
    await order(alpha, bravo, 'web', spec);
    await follow(alpha, spec.migration, (report) => report.phase === 'copying');
    const { process: qemu } = bravo.host.vms.vm('web');
    assert.ok(qemu);
    await killQemu(qemu);
    const [source, destination] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
    assert.equal(source.phase, 'failed');
    assert.equal(destination.phase, 'failed');
    assert.match(destination.failure?.message ?? '', /QEMU ended at the destination|local socket/);
    assert.equal(await queryRunState(alpha.host.vms.vm('web').monitor), 'running');
    assert.deepEqual(left(bravo, 'bravo'), nothing);
  });

  it('says that the VM is lost when the source’s QEMU dies', async () => {
    await boot();
    const spec = testSpec(alpha, bravo, { limits: { bandwidthBytesPerSecond: 20_000 } });
    await order(alpha, bravo, 'web', spec);
    await follow(alpha, spec.migration, (report) => report.phase === 'copying');
    const { process: qemu } = alpha.host.vms.vm('web');
    assert.ok(qemu);
    await killQemu(qemu);
    assert.equal((await follow(alpha, spec.migration)).phase, 'lost');
    await follow(bravo, spec.migration);
    assert.deepEqual(left(bravo, 'bravo'), nothing);
  });

  it('accepts an attempt once', async () => {
    await boot();
    const spec = testSpec(alpha, bravo, { limits: { bandwidthBytesPerSecond: 20_000 } });
    await order(alpha, bravo, 'web', spec);
    await assert.rejects(alpha.attempts.offerKey(spec), { code: 'already_exists' });
    await assert.rejects(bravo.attempts.offerKey(spec), { code: 'already_exists' });
    await alpha.attempts.cancel(spec.migration);
    await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
    await assert.rejects(bravo.attempts.offerKey(spec), { code: 'already_exists' });
  });

  it('refuses a spec that names another host, or has expired', async () => {
    await boot();
    const spec = testSpec(alpha, bravo);
    const request = { spec, key: { ephemeral: '', sealed: '' }, vm: 'web', endpoints: ['127.0.0.2:8651'], peer: bravo.endpoint };
    const other = { ...spec, source: { name: 'alpha', keyHash: '0'.repeat(64) } };
    await assert.rejects(alpha.attempts.outgoing({ ...request, spec: other }), { code: 'invalid_request', message: /not this host/ });
    await assert.rejects(alpha.attempts.outgoing({ ...request, spec: { ...spec, expiresAt: 1 } }), { message: /expired/ });
    await assert.rejects(alpha.attempts.outgoing(request), { message: /no key was offered/ });
    assert.equal(alpha.host.vms.vm('web').state, 'running');
  });
}
