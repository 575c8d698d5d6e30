/** Wrong input is answered in words, with an exit status of its own, and changes nothing. */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { recordedProcesses } from '../lab/src/lab/record.ts';
import type { Migration, Vm } from '../packages/contract/src/index.ts';
import { run, sealift, TestLab } from './support/lab.ts';

describe('wrong input', () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up();
  });

  after(() => lab?.[Symbol.asyncDispose]());

  const state = async () => ({
    alpha: lab.hostState('alpha'),
    bravo: lab.hostState('bravo'),
    vms: (await lab.json<Vm[]>('vm', 'ls')).map(({ name, host, state }) => [name, host, state]),
    migrations: (await lab.json<Migration[]>('migration', 'ls')).length,
  });

  /** @param migrations how many migrations more the order may leave in the list */
  const refused = async (args: readonly string[], status: number, words: RegExp, migrations = 0): Promise<void> => {
    const before = await state();
    const answer = await lab.sealift(...args);
    assert.match(answer.stderr, words);
    assert.equal(answer.status, status, answer.stderr);
    assert.equal(answer.stdout, '');
    const now = await state();
    assert.deepEqual(now, { ...before, migrations: Math.min(now.migrations, before.migrations + migrations) });
  };

  it('an unknown VM', () => refused(['vm', 'migrate', 'nobody', '--to', 'bravo'], 3, /no VM.*nobody/));
  it('an unknown host', () => refused(['vm', 'migrate', 'web', '--to', 'charlie'], 3, /no host.*charlie/));
  it('the host that it is on', () => refused(['vm', 'migrate', 'web', '--to', 'alpha'], 4, /web.*already.*alpha|alpha.*already/));
  it('a name that is none', () => refused(['vm', 'migrate', 'No Name', '--to', 'bravo'], 2, /DNS label/));

  it('a VM that is stopped', async () => {
    const made = await lab.sealift('vm', 'create', 'off', '--host', 'alpha', '--memory', '64', '--disk', '/dev/null,format=raw,shared');
    assert.equal(made.status, 0, made.stderr);
    await refused(['vm', 'migrate', 'off', '--to', 'bravo'], 4, /off.*stopped/);
    assert.equal((await lab.sealift('vm', 'rm', 'off')).status, 0);
  });

  it('a VM that is moving already', async () => {
    // So slow that it moves still when three more commands have started.
    const first = await lab.json<Migration>('vm', 'migrate', 'web', '--to', 'bravo', '--bandwidth', '2M', '--detach');
    const second = await lab.sealift('vm', 'migrate', 'web', '--to', 'bravo');
    assert.equal(second.status, 4);
    assert.match(second.stderr, new RegExp(`web.*moving|migration.*${first.id}`));
    assert.equal((await lab.json<Migration[]>('migration', 'ls')).filter((each) => each.endedAt === undefined).length, 1);
    assert.equal((await lab.sealift('migration', 'cancel', first.id)).status, 0);
    await lab.sealift('migration', 'watch', first.id);
    assert.equal((await lab.json<Vm>('vm', 'show', 'web')).host, 'alpha');
  });

  it('a destination without room', async () => {
    const available = (await lab.json<{ report: { memory: { available: number } } }>('host', 'show', 'bravo')).report.memory.available;
    // Guests without a system never touch their memory: more than half of it is free, twice.
    const memory = String(Math.floor((available * 0.6) / 2 ** 20));
    for (const [name, host] of [
      ['large-a', 'alpha'],
      ['large-b', 'bravo'],
    ] as const) {
      const made = await lab.sealift('vm', 'create', name, '--host', host, '--memory', memory);
      assert.equal(made.status, 0, made.stderr);
      const started = await lab.sealift('vm', 'start', name);
      assert.equal(started.status, 0, started.stderr);
    }
    try {
      await refused(['vm', 'migrate', 'large-a', '--to', 'bravo'], 4, /bravo.*MiB|memory.*bravo/);
    } finally {
      for (const name of ['large-a', 'large-b']) {
        await lab.sealift('vm', 'stop', name, '--force');
        await lab.sealift('vm', 'rm', name);
      }
    }
  });

  it('a clear migration of a VM that must be sealed', async () => {
    const made = await lab.sealift('vm', 'create', 'secret', '--host', 'alpha', '--memory', '64', '--encryption', 'required');
    assert.equal(made.status, 0, made.stderr);
    assert.equal((await lab.sealift('vm', 'start', 'secret')).status, 0);
    await refused(['vm', 'migrate', 'secret', '--to', 'bravo', '--clear'], 4, /secret.*(encrypt|seal)/);
    await lab.sealift('vm', 'stop', 'secret', '--force');
    assert.equal((await lab.sealift('vm', 'rm', 'secret')).status, 0);
  });

  it('no manager', async () => {
    const answer = await run(sealift, ['vm', 'ls'], { ...process.env, SEALIFT_MANAGER: 'unix:/nonexistent/manager.sock' });
    assert.equal(answer.status, 9);
    assert.match(answer.stderr, /manager/);
  });

  // The last one in this lab: it ends an agent.
  it('an agent that does not answer', async () => {
    const agent = (await recordedProcesses(lab.paths.processes)).find(({ name }) => name === 'bravo');
    assert.ok(agent);
    process.kill(agent.pid, 'SIGKILL');
    const before = lab.hostState('alpha');
    const answer = await lab.sealift('vm', 'migrate', 'web', '--to', 'bravo');
    assert.equal(answer.status, 9, answer.stderr);
    assert.match(answer.stderr, /bravo/);
    assert.deepEqual(lab.hostState('alpha'), before);
    assert.deepEqual((await lab.json<Vm>('vm', 'show', 'web')).state, 'running');
  });
});

describe('an agent that cannot start here', () => {
  let directory: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sealift-start-'));
    await writeFile(join(directory, 'c.pem'), '');
  });

  after(() => rm(directory, { recursive: true, force: true }));

  const agent = (...more: string[]): string[] => [
    'agent',
    ...['--name', 'alpha', '--state', join(directory, 'state'), '--run', join(directory, 'run')],
    ...['--listen', '127.0.0.1:18652', '--migration-listen', '127.0.0.1:18651'],
    ...['--cert', join(directory, 'c.pem'), '--key', join(directory, 'c.pem'), '--ca', join(directory, 'c.pem')],
    ...more,
  ];

  it('for want of root', async () => {
    // Seen through a directory that everybody may enter, which the checkout's parent need not be.
    const seen = join(directory, 'checkout');
    await mkdir(seen);
    await chmod(directory, 0o755);
    const root = join(import.meta.dirname, '..');
    const script =
      'mount --bind "$0" "$1" && seen=$1 && shift && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$seen/bin/sealift" "$@"';
    const unshared = ['--mount', '--propagation', 'unchanged', 'bash', '-c', `mount --make-rprivate / 2>/dev/null; ${script}`];
    const answer = await run('unshare', [...unshared, root, seen, ...agent()]);
    assert.equal(answer.status, 69, answer.stderr);
    assert.match(answer.stderr, /root/);
  });

  it('for want of a certificate', async () => {
    const answer = await run(sealift, agent());
    assert.equal(answer.status, 69, answer.stderr);
    assert.match(answer.stderr, /c\.pem/);
  });

  describe('with certificates', () => {
    let lab: TestLab;
    let certificates: string[];

    before(async () => {
      lab = await TestLab.up();
      const file = (suffix: string) => join(lab.paths.certificates, `alpha.agent.sealift.${suffix}`);
      certificates = ['--cert', file('crt'), '--key', file('key'), '--ca', join(lab.paths.certificates, 'ca.crt')];
    });

    after(() => lab?.[Symbol.asyncDispose]());

    it('for want of QEMU', async () => {
      const answer = await run(sealift, agent(...certificates, '--qemu', '/nonexistent/qemu'));
      assert.equal(answer.status, 69, answer.stderr);
      assert.match(answer.stderr, /\/nonexistent\/qemu/);
    });

    it('for a QEMU that is too old', async () => {
      const old = join(directory, 'qemu');
      // It speaks QMP as far as a QEMU of that age does.
      const greeting = { QMP: { version: { qemu: { major: 6, minor: 2, micro: 0 }, package: '' }, capabilities: [] } };
      await writeFile(
        old,
        `#!${process.execPath}
        console.log(${JSON.stringify(JSON.stringify(greeting))});
        require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
          console.log(JSON.stringify({ return: {}, id: JSON.parse(line).id }));
        });\n`,
      );
      await chmod(old, 0o755);
      const answer = await run(sealift, agent(...certificates, '--qemu', old));
      assert.equal(answer.status, 69, answer.stderr);
      assert.match(answer.stderr, /6\.2.*7\.2|7\.2.*6\.2/);
    });

    it('for a port that is taken', async () => {
      const server = createServer().listen(18652, '127.0.0.1');
      try {
        const answer = await run(sealift, agent(...certificates));
        assert.equal(answer.status, 69, answer.stderr);
        assert.match(answer.stderr, /127\.0\.0\.1:18652.*taken/);
      } finally {
        server.close();
      }
    });
  });
});
