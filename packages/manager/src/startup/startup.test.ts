import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestCa } from '../testing/certificates.ts';
import { StartupError } from './error.ts';
import { readIdentity } from './identity.ts';
import { parseListen } from './listen.ts';
import { clearStaleSocket } from './socket.ts';

const directory = mkdtempSync(join(tmpdir(), 'sealift-startup-'));
after(() => rmSync(directory, { recursive: true }));
const refusal = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StartupError, String(error));
  assert.match(error.message, message);
  assert.ok(!error.message.includes('\n'), 'one sentence');
  return true;
};

describe('--listen', () => {
  it('takes loopback addresses', () => {
    assert.deepEqual(parseListen('127.0.0.1:8650'), { host: '127.0.0.1', port: 8650 });
    assert.deepEqual(parseListen('127.9.8.7:0'), { host: '127.9.8.7', port: 0 });
    assert.deepEqual(parseListen('[::1]:8650'), { host: '::1', port: 8650 });
    assert.deepEqual(parseListen('localhost:8650'), { host: 'localhost', port: 8650 });
  });
  for (const text of ['0.0.0.0:8650', '[::]:8650', '10.0.0.1:8650', 'example.org:8650', '[::ffff:10.0.0.1]:8650', '128.0.0.1:1']) {
    it(`refuses ${text}`, () => assert.throws(() => parseListen(text), refusal(/loopback addresses only/)));
  }
  for (const text of ['8650', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '127.0.0.1:x', '::1:8650', '']) {
    it(`does not understand ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseListen(text), refusal(/is not an address and a port/)));
  }
});

describe('--socket', () => {
  const path = join(directory, 'manager.sock');
  const listen = (server: Server) => new Promise<void>((resolve) => server.listen(path, resolve));

  it('is free where there is nothing', () => clearStaleSocket(path));

  it('is refused while somebody answers there', async () => {
    const server = createServer();
    await listen(server);
    await assert.rejects(clearStaleSocket(path), refusal(/a manager already answers/));
    assert.ok(existsSync(path));
    await new Promise((resolve) => server.close(resolve));
  });

  it('is cleared of what a dead manager left', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    // A process that is killed leaves its socket behind.
    const child = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    child.once('exit', () => resolve());
    await promise;
    assert.ok(existsSync(path));
    await clearStaleSocket(path);
    assert.ok(!existsSync(path));
  });

  it('is refused where it is a file', async () => {
    const file = join(directory, 'precious');
    writeFileSync(file, 'data');
    await assert.rejects(clearStaleSocket(file), refusal(/is not a socket/));
    assert.ok(existsSync(file));
  });
});

describe('--cert, --key and --ca', () => {
  let ca: TestCa;
  before(async () => {
    ca = await TestCa.create();
  });
  const write = (name: string, text: string) => {
    const file = join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  const filesOf = async (name: string, dates?: { notBefore: Date; notAfter: Date }) => {
    const { ca: authority, cert, key } = await ca.issue(name, dates);
    return { cert: write('cert', cert), key: write('key', key), ca: write('ca', authority) };
  };

  it('are read', async () => {
    const identity = readIdentity(await filesOf('manager.sealift'));
    assert.match(identity.cert, /BEGIN CERTIFICATE/);
  });

  it('are refused where they could not work', async () => {
    const files = await filesOf('manager.sealift');
    const other = await ca.issue('manager.sealift');
    assert.throws(() => readIdentity({ ...files, cert: join(directory, 'none') }), refusal(/--cert .*none cannot be read: ENOENT/));
    assert.throws(() => readIdentity({ ...files, ca: write('junk', 'junk') }), refusal(/--ca .*junk is not a certificate/));
    assert.throws(() => readIdentity({ ...files, key: write('other', other.key) }), refusal(/--key\) does not go with/));
    assert.throws(() => readIdentity({ ...files, key: write('junk', 'junk') }), refusal(/--key\) does not go with/));
    const hosts = await filesOf('alpha.agent.sealift');
    assert.throws(() => readIdentity(hosts), refusal(/is not for manager\.sealift/));
    const day = 86_400_000;
    const past = await filesOf('manager.sealift', { notBefore: new Date(Date.now() - 2 * day), notAfter: new Date(Date.now() - day) });
    assert.throws(() => readIdentity(past), refusal(/expired on/));
    const future = await filesOf('manager.sealift', { notBefore: new Date(Date.now() + day), notAfter: new Date(Date.now() + 2 * day) });
    assert.throws(() => readIdentity(future), refusal(/valid only from/));
  });
});
