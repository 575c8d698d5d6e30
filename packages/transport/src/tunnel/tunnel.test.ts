/** Both ends in this process: what they leave behind, and what ends them that a test from outside would have to wait for. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { parseAddress } from '../native/sockets.ts';
import { makeSpec, parseSpec, type TunnelSpec } from './spec.ts';
import { type ReceiveOptions, runTunnel, type SendOptions } from './tunnel.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-tunnel-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const out = path.join(directory, 'out');
const near = path.join(directory, 'in');
const loopback = { host: '127.0.0.1', port: 0 };

/** The two copies that two processes would read. */
function specs(validMs: number): [TunnelSpec, TunnelSpec] {
  const document = makeSpec('aes-256-gcm', 1, Date.now() + validMs);
  return [parseSpec(Buffer.from(document)), parseSpec(document)];
}

const common = { threads: 1, signal: new AbortController().signal, say: () => undefined };
const receiving = (spec: TunnelSpec, changes: Partial<ReceiveOptions> = {}): ReceiveOptions => ({
  ...common,
  role: 'receive',
  spec,
  listen: [loopback],
  connectUnix: near,
  eager: false,
  ...changes,
});
const sending = (spec: TunnelSpec, to: string, changes: Partial<SendOptions> = {}): SendOptions => ({
  ...common,
  role: 'send',
  spec,
  to: [parseAddress(to)],
  listenUnix: out,
  idleExitMs: 0,
  ...changes,
});

describe('an end of a tunnel', () => {
  it('leaves no descriptor, no socket and no key', async () => {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await once(server.listen(near), 'listening');
    const use = async () => {
      const [one, other] = specs(60_000);
      const listening = Promise.withResolvers<string>();
      const ready = Promise.withResolvers<void>();
      const receiver = runTunnel(
        receiving(one, { say: (words) => words.startsWith('listening on ') && listening.resolve(words.slice(13)) }),
      );
      const sender = runTunnel(sending(other, await listening.promise, { say: () => ready.resolve() }));
      await ready.promise;
      const socket = net.connect({ path: out, allowHalfOpen: true });
      socket.end('x').resume();
      await once(socket, 'close');
      assert.deepEqual([(await sender).outcome, (await receiver).outcome], ['completed', 'completed']);
      for (const { key } of [one, other]) assert.ok(key.every((byte) => byte === 0));
      assert.equal(existsSync(out), false);
    };
    try {
      await use();
      const before = readdirSync('/proc/self/fd').length;
      await use();
      assert.ok(readdirSync('/proc/self/fd').length <= before);
    } finally {
      await once(server.close(), 'close');
    }
  });

  it('gives up when nobody has come by the end of its spec', async () => {
    const [spec] = specs(20);
    const { outcome, failure } = await runTunnel(receiving(spec));
    assert.equal(outcome, 'failed');
    assert.deepEqual(failure, { code: 'hello', message: 'the spec expired before the tunnel was used' });
  });

  it('does not begin where it was stopped before', async () => {
    const [spec] = specs(60_000);
    const { outcome } = await runTunnel(receiving(spec, { signal: AbortSignal.abort() }));
    assert.equal(outcome, 'aborted');
    assert.ok(spec.key.every((byte) => byte === 0));
  });

  it('refuses a local path that is taken, and wipes the key', async () => {
    const [spec] = specs(60_000);
    await assert.rejects(runTunnel(sending(spec, '127.0.0.1:1', { listenUnix: directory })), { code: 'unavailable', message: /exists/ });
    assert.ok(spec.key.every((byte) => byte === 0));
  });
});
