/**
 * A guest that is paused, that powers off, or whose QEMU ends while it is moved arrives or ends in that state, on the right side. On real QEMU; the
 * guest is a kernel of thirty bytes that powers off when its serial port says so.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { after, afterEach, before, it, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { AttemptReport, MigrationSpec } from '@sealift/contract';
import { cont, killQemu, type ProcessId, QmpClient, queryRunState, stop } from '@sealift/hypervisor';
import { parseAddress } from '@sealift/transport';
import type { RunningAgent } from '../run.ts';
import { bareVm } from '../testing/bare-vm.ts';
import { isInside, needsRoot, runInNamespace } from '../testing/namespace.ts';
import { follow, order, testSpec } from '../testing/order.ts';
import { nothingLeft, TwoHosts } from '../testing/two-hosts.ts';

if (isInside()) defineTests();
else test('guests that change their state while they are moved', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

/** Waits for a byte on COM1; then writes SLP_EN to the PM1a control register, where the firmware of q35 puts it: S5, power off. */
function writeKernel(file: string): void {
  const at = 0x10_0000;
  const header = [0x1bad_b002, 0x0001_0000, 0x1_0000_0000 - 0x1bad_b002 - 0x0001_0000, at, at, 0, 0, at + 32];
  const code = [
    ...[0xba, 0xfd, 0x03, 0, 0], //       wait: mov edx, 0x3fd
    ...[0xec, 0xa8, 0x01, 0x74, 0xf6], //       in al, dx; test al, 1; jz wait
    ...[0xba, 0x04, 0x06, 0, 0], //             mov edx, 0x604
    ...[0xb8, 0x00, 0x20, 0, 0], //             mov eax, 0x2000
    ...[0x66, 0xef, 0xeb, 0xfe], //             out dx, ax; jmp $
  ];
  writeFileSync(file, Buffer.concat([Uint8Array.from(new Uint8Array(Uint32Array.from(header).buffer)), Buffer.from(code)]));
}

function defineTests(): void {
  const vm = 'web';
  /** So that copying takes as long as a test wants. */
  const slow = { bandwidthBytesPerSecond: 20_000 };
  let hosts: TwoHosts;
  let kernel: string;
  let source: RunningAgent;
  let destination: RunningAgent;

  before(async () => {
    hosts = await TwoHosts.open();
    ({ alpha: source, bravo: destination } = hosts);
    kernel = `${source.host.journal.path}.kernel`;
    writeKernel(kernel);
  });
  after(() => hosts?.[Symbol.asyncDispose]());

  afterEach(async () => {
    for (const { host } of [source, destination]) {
      for (const each of host.vms.list()) {
        if (each.process) await killQemu(each.process);
        await each.exited;
        await host.vms.discard(each);
      }
    }
  });

  const boot = async (): Promise<void> => {
    await source.host.vms.define(bareVm(vm, { kernelBoot: { kernel, cmdline: '' } }));
    await source.host.vms.start(vm);
  };

  const qemuAt = ({ host }: RunningAgent): ProcessId => {
    const { process } = host.vms.vm(vm);
    assert.ok(process);
    return process;
  };

  /** By the socket that is there for a person's hand. */
  const byHand = async (act: (monitor: QmpClient) => Promise<void>): Promise<void> => {
    const monitor = await QmpClient.connect(source.host.vms.vm(vm).paths.spareQmpSocket);
    await act(monitor);
    monitor.close();
  };

  /** The guest has long read what it is sent here when QEMU says SHUTDOWN. */
  const powerOff = async (): Promise<void> => {
    const { monitor } = source.host.vms.vm(vm);
    const off = new Promise<void>((resolve) => void monitor.onEvent(({ name }) => name === 'SHUTDOWN' && resolve()));
    const console = await source.host.vms.console(vm);
    const knocking = setInterval(() => console.write('x'), 20); // until the firmware has booted the kernel
    await off.finally(() => clearInterval(knocking));
    console.destroy();
  };

  const ordered = async (limits = {}): Promise<MigrationSpec> => {
    const spec = testSpec(source, destination, { limits });
    await order(source, destination, vm, spec);
    return spec;
  };

  const ends = async ({ migration }: MigrationSpec): Promise<[AttemptReport, AttemptReport]> =>
    Promise.all([follow(source, migration), follow(destination, migration)]);

  /** Resolves when QEMU has begun to send. */
  const copying = ({ migration }: MigrationSpec) =>
    follow(source, migration, ({ phase, progress }) => phase === 'copying' && (progress?.ram.transferred ?? 0) > 0);

  const until = async (what: string, holds: () => boolean): Promise<void> => {
    for (const deadline = Date.now() + 30_000; !holds(); await sleep(10)) assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
  };

  const startsAgain = async ({ host }: RunningAgent): Promise<void> => {
    await host.vms.start(vm);
    assert.equal(host.vms.vm(vm).state, 'running');
  };

  it('paused by hand in the middle of the copy: it arrives paused, and can be let run there', async () => {
    await boot();
    const spec = await ordered(slow);
    await copying(spec);
    await byHand((monitor) => stop(monitor));
    await source.attempts.adjust(spec.migration, { bandwidthBytesPerSecond: 0 });
    const [at, to] = await ends(spec);
    assert.deepEqual([at.phase, to.phase], ['completed', 'completed'], at.failure?.message);
    assert.equal(destination.host.vms.vm(vm).state, 'paused');
    assert.equal(at.result?.switchOverMs, undefined, 'nothing was switched over: it stood still before and after');
    const { monitor } = destination.host.vms.vm(vm);
    assert.equal(await queryRunState(monitor), 'paused');
    await cont(monitor);
    assert.equal(await queryRunState(monitor), 'running');
  });

  it('paused, and let run again, in the middle of the copy: it arrives running', async () => {
    await boot();
    const spec = await ordered(slow);
    await copying(spec);
    await byHand(async (monitor) => {
      await stop(monitor);
      await cont(monitor);
    });
    await source.attempts.adjust(spec.migration, { bandwidthBytesPerSecond: 0 });
    const [at] = await ends(spec);
    assert.equal(at.phase, 'completed', at.failure?.message);
    assert.equal(destination.host.vms.vm(vm).state, 'running');
    assert.ok((at.result?.switchOverMs ?? 0) > 0);
  });

  it('ordered paused, and let run in the middle of the copy: it arrives running', async () => {
    await boot();
    await stop(source.host.vms.vm(vm).monitor);
    const spec = await ordered(slow);
    await copying(spec);
    await byHand((monitor) => cont(monitor));
    await source.attempts.adjust(spec.migration, { bandwidthBytesPerSecond: 0 });
    const [at] = await ends(spec);
    assert.equal(at.phase, 'completed', at.failure?.message);
    assert.equal(destination.host.vms.vm(vm).state, 'running');
  });

  it('paused in the middle of a copy that is cancelled: it stays, paused', async () => {
    await boot();
    const spec = await ordered(slow);
    await copying(spec);
    await byHand((monitor) => stop(monitor));
    await source.attempts.cancel(spec.migration);
    const [at] = await ends(spec);
    assert.equal(at.phase, 'cancelled');
    assert.equal(await queryRunState(source.host.vms.vm(vm).monitor), 'paused');
    assert.deepEqual(hosts.left(destination, vm, spec.migration), nothingLeft);
  });

  it('powers off in the middle of the copy: it is stopped where it was, and the migration says so', async () => {
    await boot();
    const spec = await ordered(slow);
    await copying(spec);
    await powerOff();
    const [at] = await ends(spec);
    assert.equal(at.phase, 'failed');
    assert.equal(at.failure?.code, 'migration_failed');
    assert.match(
      at.failure?.message ?? '',
      /guest of VM web powered off .* stopped at host alpha, .* host bravo\. Start it again: sealift vm start web/,
    );
    assert.deepEqual(hosts.left(source, vm, spec.migration), { state: 'stopped', runDirectory: false, definition: true, sockets: false });
    assert.deepEqual(hosts.left(destination, vm, spec.migration), nothingLeft);
    await startsAgain(source);
  });

  it('has powered off before QEMU begins to copy: the same', async () => {
    await boot();
    const off = Promise.withResolvers<void>();
    const gate = createServer((near) => {
      const far = connect(parseAddress(endpoint));
      for (const each of [near, far]) each.on('error', () => undefined);
      far.pipe(near);
      void off.promise.then(() => near.pipe(far));
    });
    let endpoint = '';
    const spec = testSpec(source, destination);
    try {
      await order(source, destination, vm, spec, async ([its = '']) => {
        endpoint = its;
        await once(gate.listen(0, '127.0.0.1'), 'listening');
        const address = gate.address();
        assert.ok(typeof address === 'object' && address);
        return [`127.0.0.1:${address.port}`];
      });
      await powerOff();
      off.resolve();
      const [at] = await ends(spec);
      assert.deepEqual([at.phase, at.failure?.code], ['failed', 'migration_failed'], at.failure?.message);
    } finally {
      gate.close();
    }
    assert.deepEqual(hosts.left(source, vm, spec.migration), { state: 'stopped', runDirectory: false, definition: true, sockets: false });
    assert.deepEqual(hosts.left(destination, vm, spec.migration), nothingLeft);
  });

  for (const when of ['copying', 'pre-switchover'] as const) {
    for (const signal of ['SIGKILL', 'SIGSEGV'] as const) {
      it(`its QEMU ends at the source by ${signal} in ${when}: lost, said so, and it can be started again`, async () => {
        await boot();
        const qemu = qemuAt(source);
        if (when === 'pre-switchover') {
          source.host.vms.vm(vm).monitor.onEvent(({ name, data }) => {
            if (name === 'MIGRATION' && data.status === when) process.kill(qemu.pid, signal);
          });
        }
        const spec = await ordered(when === 'copying' ? slow : {});
        if (when === 'copying') {
          await copying(spec);
          process.kill(qemu.pid, signal);
        }
        const [at] = await ends(spec);
        assert.equal(at.phase, 'lost');
        assert.match(at.failure?.message ?? '', /memory is lost/);
        await until('it counts as crashed', () => source.host.vms.vm(vm).state === 'crashed');
        assert.match(source.host.vms.vm(vm).crashed ?? '', /qemu\.log/);
        assert.deepEqual(hosts.left(destination, vm, spec.migration), nothingLeft);
        await startsAgain(source);
      });
    }
  }

  it('its QEMU ends at the destination just after it came: crashed there, nothing at the source, and it can be started again', async () => {
    await boot();
    const spec = await ordered();
    const [at] = await ends(spec);
    assert.equal(at.phase, 'completed', at.failure?.message);
    process.kill(qemuAt(destination).pid, 'SIGSEGV');
    await until('it counts as crashed', () => destination.host.vms.vm(vm).state === 'crashed');
    assert.deepEqual(hosts.left(source, vm, spec.migration), nothingLeft);
    await startsAgain(destination);
  });

  it('powers off just after it came: it is stopped there', async () => {
    await boot();
    const spec = await ordered();
    await ends(spec);
    const { host } = destination;
    const console = await host.vms.console(vm);
    const knocking = setInterval(() => console.write('x'), 20);
    await until('it is stopped', () => host.vms.vm(vm).state === 'stopped' && host.vms.vm(vm).pid === undefined).finally(() =>
      clearInterval(knocking),
    );
    console.destroy();
    await startsAgain(destination);
  });
}
