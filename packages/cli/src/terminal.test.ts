/** What only a terminal sees: lines rewritten in place, Ctrl-C typed, raw mode. A pseudo-terminal is had from script(1), which Debian always has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventsOf, FakeManager } from './testing/fake-manager.ts';
import { type Running, start } from './testing/run.ts';
import { cancelled, completed, copying, ordered } from './testing/samples.ts';

const onTerminal = (manager: string, ...args: string[]): Running =>
  start(manager, ['-qefc', `stty cols 100; exec "$SEALIFT" ${args.join(' ')}`, '/dev/null'], { program: 'script', input: 'open' });

test('progress is rewritten in place, and the summary stands below it', async () => {
  await using manager = await FakeManager.start({ migrateVm: () => ordered, watchMigration: () => eventsOf(ordered, copying, completed) });
  const { ended, child } = onTerminal(manager.url, 'vm', 'migrate', 'demo', '--to', 'bravo');
  const { status, stdout } = await ended;
  child.stdin?.end();
  assert.equal(status, 0, stdout);
  const up = `${String.fromCharCode(27)}[`;
  assert.ok(stdout.includes(`${up}1A`) && stdout.includes(`${up}2A`), JSON.stringify(stdout));
  assert.match(stdout, /█+░+ {2}52 % {2}112 MB\/s/);
  assert.match(stdout, /demo moved from alpha to bravo/);
});

test('Ctrl-C typed during a migration cancels it', async () => {
  const cancel = Promise.withResolvers<void>();
  await using manager = await FakeManager.start({
    migrateVm: () => ordered,
    watchMigration: async function* () {
      yield copying;
      await cancel.promise;
      yield cancelled;
    },
    cancelMigration: () => {
      cancel.resolve();
      return copying;
    },
  });
  const { child, ended, said } = onTerminal(manager.url, 'vm', 'migrate', 'demo', '--to', 'bravo');
  await said('copying memory');
  child.stdin?.write('\x03');
  const { status, stdout } = await ended;
  assert.equal(status, 6, stdout);
  assert.match(stdout, /Asking the manager to cancel/);
  assert.match(stdout, /was cancelled\. It stayed at alpha/);
});

test('the console passes every key to the guest, Ctrl-C too, and Ctrl-] leaves', async () => {
  const typed = Promise.withResolvers<string>();
  await using manager = await FakeManager.start({ consoleOfVm: () => ({}) });
  manager.onConsole = (socket) => {
    let all = '';
    socket.send(Buffer.from('guest says hello'));
    socket.on('message', (data) => {
      all += data.toString();
      if (all.endsWith('\x03')) socket.send(Buffer.from('interrupted'));
    });
    socket.on('close', () => typed.resolve(all));
  };
  const { child, ended, said } = onTerminal(manager.url, 'vm', 'console', 'demo');
  await said('guest says hello');
  await said('leave with Ctrl-]');
  child.stdin?.write('ls\r\x03');
  await said('interrupted');
  child.stdin?.write('more\x1dnot this');
  const { status, stdout } = await ended;
  assert.equal(status, 0, stdout);
  assert.equal(await typed.promise, 'ls\r\x03more');
  assert.match(stdout, /Left the console of demo/);
});
