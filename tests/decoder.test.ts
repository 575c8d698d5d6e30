/** A captured live migration is opened by a second reader of docs/protocol.md, with nothing but the capture and the key log. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createLog } from '../packages/agent/src/log.ts';
import { createAttempts } from '../packages/agent/src/migration/index.ts';
import { checkOptions } from '../packages/agent/src/options.ts';
import { type RunningAgent, runAgent } from '../packages/agent/src/run.ts';
import { bareVm } from '../packages/agent/src/testing/bare-vm.ts';
import { TestAuthority } from '../packages/agent/src/testing/certificates.ts';
import { isInside, needsRoot, runInNamespace } from '../packages/agent/src/testing/namespace.ts';
import { follow, order, testSpec } from '../packages/agent/src/testing/order.ts';
import { type DecodedDirection, decodeCapture } from './support/decoder.ts';

if (isInside()) defineTests();
else test('a captured migration is decoded', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

/** On loopback tcpdump's own count says nothing: it sees packets twice. Whether the capture is whole, the decoder finds out. */
async function captureLoopback(file: string): Promise<AsyncDisposable> {
  const tcpdump = spawn(
    'tcpdump',
    ['-i', 'lo', '-n', '-U', '--immediate-mode', '-B', '65536', '-s', '0', '-Z', 'root', '-w', file, 'tcp port 8651'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  // Read to the end: it dies of a broken pipe in the middle of a line if nobody does.
  await new Promise<void>((resolve, reject) => {
    let said = '';
    tcpdump.stderr.on('data', (bytes) => {
      said += bytes;
      if (said.includes('listening on')) resolve();
    });
    tcpdump.once('exit', () => reject(new Error(`tcpdump failed: ${said}`)));
  });
  return {
    [Symbol.asyncDispose]: async () => {
      if (tcpdump.exitCode !== null || tcpdump.signalCode !== null) return;
      // It writes what the kernel has kept for it.
      for (let size = -1; size !== statSync(file).size; await sleep(300)) size = statSync(file).size;
      tcpdump.kill('SIGINT');
      await once(tcpdump, 'exit');
    },
  };
}

const confirm = 0x01;
const data = 0x02;
const close = 0x03;
const grant = 0x11;
const running = 0x12;

function defineTests(): void {
  let directory: string;
  let keylog: { file: string; fd: number };
  let alpha: RunningAgent;
  let bravo: RunningAgent;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sld-'));
    const file = join(directory, 'keys');
    keylog = { file, fd: openSync(file, 'a', 0o600) };
    const authority = await TestAuthority.create(directory);
    const start = async (name: string, address: string, logged: boolean) => {
      const options = checkOptions({
        name,
        state: join(directory, `${name}-state`),
        run: join(directory, name.slice(0, 1)),
        listen: `${address}:8652`,
        migrationListen: [`${address}:8651`],
        ...(await authority.issue(`${name}.agent.sealift`)),
        accel: 'tcg',
        qemu: 'qemu-system-x86_64',
      });
      return runAgent({ ...options, ...(logged && { keylog }) }, createAttempts, '0.0.0-test', createLog({ daemon: name }, 'silent'));
    };
    alpha = await start('alpha', '127.0.0.1', true);
    bravo = await start('bravo', '127.0.0.2', false);
  });

  after(async () => {
    for (const agent of [alpha, bravo]) {
      for (const vm of agent?.host.vms.list() ?? []) await agent.host.vms.discard(vm);
      await agent?.stop();
    }
    closeSync(keylog.fd);
    await rm(directory, { recursive: true, force: true });
  });

  for (const suite of ['aes-256-gcm', 'none'] as const) {
    describe(`suite ${suite}`, () => {
      let decoded: DecodedDirection[];
      let bytes: number[];

      before(async () => {
        const definition = bareVm(`vm-${suite}`, { encryption: 'opportunistic' });
        await alpha.host.vms.define(definition);
        await alpha.host.vms.start(definition.name);
        const pcap = join(directory, `${suite}.pcap`);
        await using capture = await captureLoopback(pcap);
        const spec = testSpec(alpha, bravo, { suite });
        await order(alpha, bravo, definition.name, spec);
        const [source] = await Promise.all([follow(alpha, spec.migration), follow(bravo, spec.migration)]);
        assert.equal(source.phase, 'completed', source.failure?.message);
        bytes = source.progress?.channels.map((channel) => channel.bytes) ?? [];
        await capture[Symbol.asyncDispose]();
        decoded = await decodeCapture(pcap, keylog.file, suite);
      });

      const typesOf = (channel: number, direction: DecodedDirection['direction']): number[] =>
        decoded.find((each) => each.channel === channel && each.direction === direction)?.records.map(({ type }) => type) ?? [];

      it('opens every record of every channel, both ways', () => {
        assert.deepEqual(
          decoded.map(({ channel }) => channel),
          [0, 0, 1, 1, 2, 2, 3, 3],
        );
        for (const channel of [0, 1, 2, 3]) {
          assert.equal(typesOf(channel, 'source-to-destination')[0], confirm);
          assert.equal(typesOf(channel, 'source-to-destination').at(-1), close);
          assert.equal(typesOf(channel, 'destination-to-source').at(-1), close);
        }
      });

      it('finds in them what QEMU sent, as much as the agent counted', () => {
        for (const channel of [1, 2, 3]) {
          const stream = Buffer.concat(
            decoded
              .filter((each) => each.channel === channel && each.direction === 'source-to-destination')
              .flatMap(({ records }) => records.filter(({ type }) => type === data).map(({ payload }) => payload)),
          );
          assert.equal(stream.length, bytes[channel]);
          // QEMU's own first words: docs/devel/migration, and multifd's magic number.
          if (channel === 1) assert.equal(stream.toString('latin1', 0, 4), 'QEVM');
          else assert.equal(stream.readUInt32BE(0), 0x11223344);
        }
      });

      it('finds GRANT and RUNNING on channel 0', () => {
        assert.ok(typesOf(0, 'source-to-destination').includes(grant));
        assert.ok(typesOf(0, 'destination-to-source').includes(running));
      });
    });
  }
}
