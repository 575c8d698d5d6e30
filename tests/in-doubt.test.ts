/**
 * A migration that the hosts cannot settle at once, through the whole of sealift: the destination's agent is killed when RUN is in its journal
 * and the VM has not been let run. What is the VM then depends on who comes back, and on what an administrator says meanwhile.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Ground } from '../lab/src/chaos/ground.ts';
import { labOf } from '../lab/src/lab/lifecycle.ts';
import type { Migration, Vm } from '../packages/contract/src/index.ts';
import { type Answer, run, sealift } from './support/lab.ts';

const hosts = ['alpha', 'bravo'];

describe('a migration in doubt', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
  let ground: Ground;
  const enough = new AbortController();

  before(async () => {
    ground = await Ground.up(labOf(`d${randomBytes(3).toString('hex')}`), enough.signal, () => {});
  });
  after(async () => {
    enough.abort();
    await ground?.[Symbol.asyncDispose]();
  });
  afterEach(() => ground.letGo());

  const cli = (...args: string[]): Promise<Answer> =>
    run(sealift, args, { ...process.env, SEALIFT_MANAGER: `unix:${ground.lab.paths.managerSocket}` });
  const shown = (id: string): Promise<Migration> => ground.manager.getMigration({ params: { migration: id } });
  const until = async <T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> => {
    for (let tries = 0; tries < 600; tries++) {
      const found = await look();
      if (found) return found;
      await sleep(100);
    }
    throw new Error(`it never came to this: ${what}`);
  };
  const ended = (id: string): Promise<Migration> =>
    until(`migration ${id} has ended`, async () => {
      const migration = await shown(id);
      return migration.endedAt !== undefined && migration;
    });
  /** Which hosts' QEMUs run vCPUs now. */
  const running = (): string[] => hosts.filter((host) => ground.watches.get(host)?.running);
  const alone = (host: string) =>
    until(`${host} alone runs the VM`, async () => {
      const [at, ...others] = running();
      const vm: Vm = await ground.vm();
      return at === host && others.length === 0 && vm.host === host && vm.state === 'running' && vm.found.length === 1;
    });

  /** Moves the VM until the destination has recorded RUN, and kills its agent there. */
  const strand = async (): Promise<{ id: string; source: string; destination: string }> => {
    const { host: source } = await ground.vm();
    const destination = hosts.find((host) => host !== source) ?? '';
    await ground.hold(destination, 'recorded');
    const { id } = await ground.manager.migrateVm({ params: { vm: 'web' }, body: { to: destination } });
    await until('RUN is recorded', async () => (await ground.reached(destination, 'recorded')) === id);
    process.kill((await ground.daemon(destination)).pid, 'SIGKILL');
    await ground.letGo();
    await until('the source is in doubt', async () => (await shown(id)).phase === 'in-doubt');
    assert.deepEqual(running(), [], 'nobody may run it now');
    return { id, source, destination };
  };

  it('waits, paused, while the destination is back and the source is not; then it is settled, and runs at the destination alone', async () => {
    const { id, source, destination } = await strand();
    const sourceAgent = await ground.daemon(source);
    process.kill(sourceAgent.pid, 'SIGSTOP');
    try {
      await ground.restart(destination);
      await until('the destination is in doubt', async () =>
        (await ground.vm()).found.some((each) => each.host === destination && each.state === 'in-doubt'),
      );
      await sleep(3_000); // time enough to do it wrong
      assert.deepEqual(running(), []);
    } finally {
      process.kill(sourceAgent.pid, 'SIGCONT');
    }
    const migration = await ended(id);
    assert.equal(migration.phase, 'completed', migration.failure?.message);
    await alone(destination);
  });

  it('is decided for the source while the destination is away: the copy there never runs, and goes when its agent is back', async () => {
    const { id, source, destination } = await strand();
    const unsure = await cli('migration', 'resolve', id, '--keep', 'source');
    assert.equal(unsure.status, 2, 'without a terminal it takes more than the order');
    assert.match(unsure.stderr, /--yes-i-am-sure/);
    assert.deepEqual(running(), []);
    const decided = await cli('migration', 'resolve', id, '--keep', 'source', '--yes-i-am-sure');
    assert.equal(decided.status, 0, decided.stderr);
    const migration = await ended(id);
    assert.equal(migration.phase, 'failed');
    assert.deepEqual(migration.resolution?.waitingFor, [destination]);
    await until('it runs at the source', async () => running()[0] === source);

    await ground.restart(destination);
    await alone(source);
    await until('the destination has heard', async () => (await shown(id)).resolution?.waitingFor.length === 0);
    assert.equal(await ground.qemu(destination), undefined);
    const there = await cli('vm', 'migrate', 'web', '--to', destination);
    assert.equal(there.status, 0, there.stderr);
    await alone(destination);
  });

  it('is decided for the destination while the source is away: it runs there, and what is at the source goes when its agent is back', async () => {
    const { id, source, destination } = await strand();
    process.kill((await ground.daemon(source)).pid, 'SIGKILL');
    await ground.restart(destination);
    await until('the destination is in doubt', async () =>
      (await ground.vm()).found.some((each) => each.host === destination && each.state === 'in-doubt'),
    );
    assert.deepEqual(running(), []);
    const decided = await cli('migration', 'resolve', id, '--keep', 'destination', '--yes-i-am-sure');
    assert.equal(decided.status, 0, decided.stderr);
    assert.equal((await ended(id)).phase, 'completed');
    await until('it runs at the destination', async () => running()[0] === destination);
    await ground.restart(source);
    await alone(destination);
    assert.equal(await ground.qemu(source), undefined);
  });

  it('lost no acknowledged write in any of this', async () => {
    const report = await ground.workload.finish();
    assert.ok(report.acknowledgedWrites > 0);
    assert.deepEqual([report.lostWrites, report.wrongValues], [0, 0]);
  });
});
