import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestCa } from './testing/certificates.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

describe('sealift manager', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-manager-'));
  const started: ChildProcess[] = [];
  const socket = join(directory, 'run', 'manager.sock');
  let files: string[] = [];
  before(async () => {
    const identity = await (await TestCa.create()).issue('manager.sealift');
    files = (['cert', 'key', 'ca'] as const).flatMap((name) => {
      writeFileSync(join(directory, name), identity[name]);
      return [`--${name}`, join(directory, name)];
    });
  });
  after(() => {
    for (const child of started) child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  function start(...more: string[]) {
    const program = `import { managerCommand } from ${JSON.stringify(main)}; await managerCommand().parseAsync(process.argv.slice(1), { from: 'user' });`;
    const options = ['--state', join(directory, 'state'), '--socket', socket, '--listen', '127.0.0.1:0', ...files, ...more];
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program, '--', ...options],
      {
        stdio: ['ignore', 'inherit', 'pipe'],
      },
    );
    started.push(child);
    return child;
  }

  async function ready(child: ReturnType<typeof start>): Promise<string> {
    for await (const line of createInterface({ input: child.stderr })) {
      const entry = JSON.parse(line);
      if (entry.msg === 'ready') return entry.url;
    }
    throw new Error('it ended without having been ready');
  }

  async function refusalOf(child: ReturnType<typeof start>): Promise<string> {
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    const [status] = await once(child, 'close');
    assert.equal(status, 69, text);
    assert.equal(text.trimEnd().split('\n').length, 1, text);
    return text;
  }

  it('serves until it is told to stop, and then leaves no socket', async () => {
    const child = start();
    const url = await ready(child);
    assert.equal((await fetch(`${url}/v1/status`)).status, 200);
    assert.equal(statSync(socket).mode & 0o777, 0o600);
    assert.equal(statSync(join(directory, 'state')).mode & 0o777, 0o700);
    assert.equal(statSync(join(directory, 'state', 'manager.db')).mode & 0o777, 0o600);
    assert.match(await refusalOf(start()), /^sealift manager: a manager already answers on /);
    assert.equal((await fetch(`${url}/v1/status`)).status, 200);
    child.stderr.resume();
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.ok(!existsSync(socket));
  });

  it('starts again where it was killed', async () => {
    const killed = start();
    await ready(killed);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    assert.ok(existsSync(socket));
    const child = start();
    await ready(child);
    child.stderr.resume();
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('says in one sentence why it cannot start', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    try {
      assert.match(await refusalOf(start('--listen', `127.0.0.1:${port}`)), /the port is taken/);
    } finally {
      taken.close();
    }
    assert.match(await refusalOf(start('--listen', '0.0.0.0:8650')), /loopback addresses only/);
    assert.match(await refusalOf(start('--cert', join(directory, 'none'))), /--cert .* cannot be read/);
    assert.match(await refusalOf(start('--state', join(directory, 'ca', 'state'))), /the state directory .* cannot be used/);
    assert.ok(!existsSync(socket));
  });
});
