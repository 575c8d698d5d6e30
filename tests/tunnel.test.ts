/** `sealift tunnel` as it is used: two processes on loopback, programs at both ends, and QEMU by the scripts of docs/tunnel.md. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine, killQemu, launchQemu, queryMigration, type VmDefinition } from '../packages/hypervisor/src/index.ts';
import { pathsIn } from '../packages/hypervisor/src/testing/index.ts';
import { tunables } from '../packages/transport/src/tunables.ts';
import { run, sealift } from './support/lab.ts';
import { Started, TunnelBench } from './support/tunnel.ts';

const root = join(import.meta.dirname, '..');

/** A program at the far end. @param serve is given each connection, in their order */
async function serve(bench: TunnelBench, serve: (socket: net.Socket, index: number) => void): Promise<void> {
  const sockets: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    serve(socket, sockets.push(socket) - 1);
  });
  await once(server.listen(bench.in), 'listening');
  bench.use({
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => server.close(closed));
    },
  });
}

async function connect(bench: TunnelBench): Promise<net.Socket> {
  const socket = net.connect({ path: bench.out, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket.on('error', () => undefined);
}

/** Both processes of a tunnel, told apart by what `one` does, and a program connected at the end that sends. */
async function connected(bench: TunnelBench, does: 'send' | 'receive'): Promise<{ one: Started; other: Started; socket: net.Socket }> {
  const receiver = bench.receive();
  const sender = await bench.send(receiver);
  await sender.says(/ready/);
  const [one, other] = does === 'send' ? [sender, receiver] : [receiver, sender];
  return { one, other, socket: await connect(bench) };
}

const all = async (socket: net.Socket): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part);
  return Buffer.concat(parts);
};

/**
 * What still comes of a connection whose tunnel goes down: its end, or a reset where the tunnel had not yet read what was written into it, which
 * is for the kernel to choose.
 */
const rest = (socket: net.Socket): Promise<Buffer> =>
  all(socket).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ECONNRESET') throw error;
    return Buffer.alloc(0);
  });

describe('a tunnel', () => {
  for (const suite of ['aes-256-gcm', 'none']) {
    it(`carries connections in their order, both ways, and ends by itself, suite ${suite}`, async () => {
      await using bench = await TunnelBench.make('--suite', suite);
      const order: string[] = [];
      await serve(bench, (socket, index) => {
        // Answers when it has heard the end: each direction ends by itself.
        void all(socket).then((heard) => {
          order[index] = heard.subarray(0, 1).toString();
          socket.end(heard);
        });
      });
      const receiver = bench.receive('--suite', suite);
      const sender = await bench.send(receiver, '--suite', suite, '--idle-exit', '0.5');
      await sender.says(/ready/);
      assert.equal(statSync(bench.out).mode & 0o777, 0o600);
      const data = ['a', 'b', 'c'].map((letter, i) => Buffer.concat([Buffer.from(letter), randomBytes(i * 700_000)]));
      const sockets: net.Socket[] = [];
      for (const each of data) {
        const socket = await connect(bench);
        sockets.push(socket);
        socket.end(each);
      }
      assert.deepEqual(await Promise.all(sockets.map(all)), data);
      assert.deepEqual([await sender.ended, await receiver.ended], [0, 0]);
      assert.deepEqual(order, ['a', 'b', 'c']);
      assert.equal(existsSync(bench.out), false);
      const totals = sender.report.channels.map(({ channel, sent, received }) => [channel, sent.bytes, received.bytes]);
      assert.deepEqual(
        totals,
        data.map(({ length }, i) => [i + 1, length, length]),
      );
      assert.deepEqual(
        receiver.report.channels.map(({ sent, received }) => [received, sent]),
        sender.report.channels.map(({ sent, received }) => [sent, received]),
      );
      for (const { report, stderr } of [sender, receiver]) {
        assert.equal(report.outcome, 'completed');
        assert.equal(report.sealed, suite !== 'none');
        assert.equal(/CLEAR/.test(stderr), suite === 'none');
        assert.ok(report.cpuSeconds.process > 0);
      }
    });
  }

  it('lets the far program speak first with --eager; the spec may come by standard input', async () => {
    await using bench = await TunnelBench.make();
    await serve(bench, (socket) => socket.end('welcome').resume());
    const receiver = bench.use(
      new Started(
        sealift,
        ['tunnel', 'receive', '--listen', '127.0.0.1:0', '--connect-unix', bench.in, '--spec', '-', '--eager'],
        process.env,
        readFileSync(bench.spec),
      ),
    );
    const sender = await bench.send(receiver, '--idle-exit', '0');
    await sender.says(/ready/);
    const socket = await connect(bench);
    assert.equal(String(await all(socket)), 'welcome');
    socket.end();
    assert.deepEqual([await sender.ended, await receiver.ended], [0, 0]);
  });

  for (const [signal, status] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    for (const stopped of ['send', 'receive'] as const) {
      it(`is aborted by ${signal} at the end that ${stopped}s: nothing stays, and the other end fails`, async () => {
        await using bench = await TunnelBench.make();
        await serve(bench, (socket) => socket.resume());
        const { one, other, socket } = await connected(bench, stopped);
        socket.write('x');
        // bin/sealift becomes the process itself by exec.
        one.child.kill(signal);
        assert.deepEqual([await one.ended, await other.ended], [status, 7]);
        assert.equal(one.report.outcome, 'aborted');
        assert.equal(other.report.outcome, 'failed');
        assert.equal(existsSync(bench.out), false);
        assert.equal(String(await rest(socket)), '');
        assert.deepEqual(bench.processes, []);
      });
    }
  }

  for (const killed of ['send', 'receive'] as const) {
    it(`fails when the end that ${killed}s is killed, and leaves no socket`, async () => {
      await using bench = await TunnelBench.make();
      await serve(bench, (socket) => socket.resume());
      const { one, other, socket } = await connected(bench, killed);
      socket.write('x');
      one.child.kill('SIGKILL');
      assert.deepEqual([await one.ended, await other.ended], ['SIGKILL', 7]);
      assert.equal(other.report.failure?.code, 'truncated');
      if (killed === 'receive') assert.equal(existsSync(bench.out), false);
      assert.equal(String(await rest(socket)), '');
      assert.deepEqual(bench.processes, []);
    });
  }

  it('fails where the far program is not there', async () => {
    await using bench = await TunnelBench.make();
    const receiver = bench.receive();
    const sender = await bench.send(receiver);
    await sender.says(/ready/);
    (await connect(bench)).write('x');
    assert.deepEqual([await sender.ended, await receiver.ended], [7, 7]);
    assert.equal(receiver.report.failure?.code, 'local');
    assert.match(receiver.stderr, /in\.sock: ENOENT/);
  });

  it('refuses wrong input in words, and opens nothing', async () => {
    await using bench = await TunnelBench.make();
    const receive = (...more: string[]) => ['receive', '--listen', '127.0.0.1:0', '--connect-unix', bench.in, ...more];
    const send = (...more: string[]) => ['send', '--to', '127.0.0.1:1', '--listen-unix', bench.out, ...more];
    const clear = await TunnelBench.make('--suite', 'none');
    bench.use(clear);
    const expired = join(bench.directory, 'expired');
    writeFileSync(expired, readFileSync(bench.spec, 'utf8').replace(/"expiresAt": "\d+/, '"expiresAt": "2001'), { mode: 0o600 });
    const open = join(bench.directory, 'open');
    writeFileSync(open, readFileSync(bench.spec));
    chmodSync(open, 0o644);
    const taken = net.createServer();
    await once(taken.listen(0, '127.0.0.1'), 'listening');
    const { port } = taken.address() as net.AddressInfo; // it listens on TCP
    const refusals: [string[], number, RegExp][] = [
      [receive('--spec', open), 2, /others can read/],
      [receive('--spec', clear.spec), 2, /clear.*--suite none/],
      [receive('--spec', bench.spec, '--suite', 'none'), 2, /aes-256-gcm.*none/],
      [receive('--spec', expired), 2, /expired/],
      [receive('--spec', join(bench.directory, 'nothing')), 2, /ENOENT/],
      [receive('--spec', bench.spec, '--threads', '0'), 2, /whole number/],
      [['receive', '--listen', 'here', '--connect-unix', bench.in, '--spec', bench.spec], 2, /HOST:PORT/],
      [['receive', '--listen', `127.0.0.1:${port}`, '--connect-unix', bench.in, '--spec', bench.spec], 69, /EADDRINUSE/],
      [['send', '--to', '127.0.0.1:1', '--listen-unix', `/${'x'.repeat(107)}`, '--spec', bench.spec], 2, /107 bytes/],
      [['send', '--to', '127.0.0.1:1', '--listen-unix', open, '--spec', bench.spec], 69, /exists/],
      [send(), 2, /--spec/],
      [['spec', '--channels-max', '256'], 2, /1 to 255/],
      [['spec', '--suite', 'rot13'], 2, /aes-256-gcm, none/],
    ];
    try {
      for (const [args, status, words] of refusals) {
        const answer = await run(sealift, ['tunnel', ...args]);
        assert.equal(answer.status, status, `${args.join(' ')}: ${answer.stderr}`);
        assert.match(answer.stderr, words);
        assert.equal(answer.stdout, '');
      }
    } finally {
      taken.close();
    }
    assert.equal(existsSync(bench.out), false);
  });
});

/** Writes for as long as somebody takes it. @returns how much, once the connection has ended */
async function flood(socket: net.Socket): Promise<number> {
  const chunk = randomBytes(64 * 1024);
  let written = 0;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.resume();
  while (!socket.destroyed && socket.writable) {
    if (!socket.write(chunk)) await Promise.race([closed, new Promise((resolve) => socket.once('drain', resolve))]);
    written += chunk.length;
  }
  return written;
}

/** What only time can show takes its time: both at once. */
describe('a tunnel that falls silent', { concurrency: true, timeout: 240_000 }, () => {
  for (const stopped of ['send', 'receive'] as const) {
    it(`fails when the process that ${stopped}s is stopped, and that one fails as well once it goes on: nothing stays`, async () => {
      await using bench = await TunnelBench.make();
      const heard: number[] = [];
      await serve(bench, (socket) => socket.on('data', ({ length }) => heard.push(length)).on('end', () => socket.end()));
      const { one, other, socket } = await connected(bench, stopped);
      const written = flood(socket);
      while (heard.length < 100) await sleep(10);
      one.child.kill('SIGSTOP');
      assert.equal(await other.ends(), 7);
      // Its host goes on to acknowledge, so it is not `stalled`.
      assert.equal(other.report.failure?.code, 'peer');
      one.child.kill('SIGCONT');
      assert.equal(await one.ends(), 7);
      assert.match(one.report.failure?.code ?? '', /^(peer|truncated)$/);
      assert.equal(existsSync(bench.out), false);
      assert.ok((await written) >= heard.reduce((sum, length) => sum + length, 0));
      assert.deepEqual(bench.processes, []);
    });
  }

  it('goes on when the far program reads nothing for longer than any limit, and then again', async () => {
    await using bench = await TunnelBench.make();
    const far = Promise.withResolvers<net.Socket>();
    await serve(bench, (socket) => far.resolve(socket));
    const receiver = bench.receive();
    const sender = await bench.send(receiver, '--idle-exit', '0');
    await sender.says(/ready/);
    const data = randomBytes(64 * 1024 * 1024);
    const socket = await connect(bench);
    socket.end(data);
    const reader = await far.promise;
    await sleep(2 * tunables.stallMs);
    assert.ok(socket.bytesWritten === data.length && socket.writableLength > 0, 'all of it was taken: nothing was held back');
    reader.end();
    assert.ok((await all(reader)).equals(data));
    assert.equal(String(await all(socket)), '');
    assert.deepEqual([await sender.ends(), await receiver.ends()], [0, 0]);
    assert.deepEqual(bench.processes, []);
  });
});

/** SeaBIOS finds nothing to boot and idles; that is guest enough. */
const vm: VmDefinition = { name: 'bare', memoryMiB: 128, vcpus: 1, cpuModel: 'qemu64', machine: 'pc-q35-7.2', disks: [], nics: [] };

async function startQemu(bench: TunnelBench, name: string, incoming: boolean) {
  const directory = join(bench.directory, name);
  mkdirSync(directory);
  const paths = pathsIn(directory);
  const argv = commandLine(vm, paths, { accel: 'tcg', incoming, paused: false, tapNames: [] });
  const { process: qemu, monitor } = await launchQemu({
    binary: 'qemu-system-x86_64',
    argv,
    logFile: join(directory, 'log'),
    qmpSocket: paths.qmpSocket,
  });
  bench.use({
    [Symbol.asyncDispose]: async () => {
      monitor.close();
      await killQemu(qemu);
    },
  });
  return { monitor, directory, qmp: paths.spareQmpSocket };
}

/** A block of docs/tunnel.md, by the comment that it begins with. */
function scriptOf(name: string): string {
  const script = new RegExp(`\`\`\`sh\\n(# ${name}\\n[\\s\\S]*?)\`\`\``).exec(readFileSync(join(root, 'docs/tunnel.md'), 'utf8'))?.[1];
  assert.ok(script, `docs/tunnel.md has no script for the ${name}`);
  return script;
}

describe('a bare QEMU', () => {
  it('migrates through a tunnel with multifd, by the scripts of docs/tunnel.md', async () => {
    await using bench = await TunnelBench.make();
    const qmp = join(bench.directory, 'qmp');
    writeFileSync(qmp, `#!/bin/sh\nexec '${root}/tools/node' '${root}/tests/support/qmp.ts' "$@"\n`, { mode: 0o700 });
    const source = await startQemu(bench, 'source', false);
    const destination = await startQemu(bench, 'destination', true);
    const script = (name: string, { directory, qmp }: { directory: string; qmp: string }, variables: Record<string, string>) => {
      const PATH = `${bench.directory}:${root}/bin:${process.env['PATH']}`;
      const env = { ...process.env, PATH, RUN: directory, QMP: qmp, SPEC: bench.spec, ...variables };
      return bench.use(new Started('bash', ['-c', scriptOf(name)], env));
    };
    const there = script('destination', destination, { LISTEN: '127.0.0.1:0' });
    const to = await there.says(/listening on (\S+)/);
    const here = script('source', source, { TO: to });
    assert.equal(await here.ended, 0, here.stderr);
    assert.equal(await there.ended, 0, there.stderr);
    assert.equal((await queryMigration(source.monitor)).status, 'completed');
    assert.equal((await queryMigration(destination.monitor)).status, 'completed');
    assert.equal((await destination.monitor.execute('query-status')).status, 'running');
    assert.match(here.stdout, /"status": "completed"/);
    const lines = here.stdout.split('\n').filter((line) => line.startsWith('{"role"'));
    const { channels } = JSON.parse(lines[0] ?? '');
    assert.equal(channels.length, 5, 'the main stream and four of multifd');
  });
});
