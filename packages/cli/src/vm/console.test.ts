import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { FakeManager } from '../testing/fake-manager.ts';
import { start } from '../testing/run.ts';

test('what is piped in reaches the guest, and what it answers comes out until the console closes', async () => {
  await using manager = await FakeManager.start({ consoleOfVm: () => ({}) });
  manager.onConsole = (socket) => {
    let typed = '';
    socket.send(Buffer.from('login: '));
    socket.on('message', (data) => {
      typed += data.toString();
      if (!typed.endsWith('\n')) return;
      socket.send(Buffer.from(`hello ${typed}`));
      socket.close(1000);
    });
  };
  const { status, stdout, stderr } = await start(manager.url, ['vm', 'console', 'demo'], { input: 'root\n' }).ended;
  assert.deepEqual([status, stdout, stderr], [0, 'login: hello root\n', '']);
  assert.deepEqual(manager.calls, [{ route: 'consoleOfVm', params: { vm: 'demo' }, body: undefined }]);
});

test('bytes that are no text come through whole', async () => {
  const bytes = randomBytes(300_000);
  await using manager = await FakeManager.start({ consoleOfVm: () => ({}) });
  manager.onConsole = (socket) => {
    for (let at = 0; at < bytes.length; at += 10_000) socket.send(bytes.subarray(at, at + 10_000));
    socket.close(1000);
  };
  const { child, ended } = start(manager.url, ['vm', 'console', 'demo'], { input: '' });
  child.stdout?.setEncoding('hex');
  const { stdout } = await ended;
  assert.equal(stdout.length, 600_000);
  assert.ok(stdout === bytes.toString('hex'));
});

test('Ctrl-C leaves where input is no terminal', async () => {
  await using manager = await FakeManager.start({ consoleOfVm: () => ({}) });
  const opened = Promise.withResolvers<void>();
  manager.onConsole = (socket) => {
    socket.send(Buffer.from('waiting'));
    socket.once('message', () => opened.resolve());
  };
  const { child, ended } = start(manager.url, ['vm', 'console', 'demo']);
  child.stdin?.write('x');
  await opened.promise;
  child.kill('SIGINT');
  assert.deepEqual(await ended, { status: 0, stdout: 'waiting', stderr: '' });
});

test('a console that breaks off is no orderly end', async () => {
  await using manager = await FakeManager.start({ consoleOfVm: () => ({}) });
  manager.onConsole = (socket) => socket.close(1011, 'the host is gone');
  const { status, stderr } = await start(manager.url, ['vm', 'console', 'demo'], { input: '' }).ended;
  assert.equal(status, 9);
  assert.match(stderr, /broke off: the host is gone/);
});
