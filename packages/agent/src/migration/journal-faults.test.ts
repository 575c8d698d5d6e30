/** The disk under a journal is full, read-only or failing, at either host and at every record that matters: nothing irreversible happens. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, it, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AttemptReport, MigrationSpec } from '@sealift/contract';
import { queryRunState } from '@sealift/hypervisor';
import type { RunningAgent } from '../run.ts';
import { failJournal } from '../testing/journal-faults.ts';
import { isInside, needsRoot, runInNamespace } from '../testing/namespace.ts';
import { follow, order, testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere, TwoHosts } from '../testing/two-hosts.ts';

if (isInside()) defineTests();
else test('journals that take no records', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

function defineTests(): void {
  const vm = 'web';
  const slow = { bandwidthBytesPerSecond: 20_000 };
  let hosts: TwoHosts;
  let mounted: string[];

  beforeEach(async () => {
    mounted = [];
    hosts = await TwoHosts.open();
    await hosts.boot(vm);
  });

  afterEach(async () => {
    // With the namespace of mounts of these tests they would go too; the directories below them go before that.
    for (const each of mounted) execFileSync('umount', ['-l', each]);
    await hosts[Symbol.asyncDispose]();
  });

  const journalOf = ({ host }: RunningAgent): string => host.journal.path;
  const fillerOf = (agent: RunningAgent): string => join(dirname(journalOf(agent)), 'filler');

  /** A disk of its own for an agent's state, a small one. */
  const onSmallDisk = async (agent: RunningAgent): Promise<RunningAgent> => {
    const state = dirname(journalOf(agent));
    const kept = `${state}.kept`;
    execFileSync('cp', ['-a', state, kept]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'sealift-test', state]);
    mounted.push(state);
    execFileSync('sh', ['-c', `cp -a ${kept}/. ${state}/`]);
    return hosts.restart(agent);
  };

  /** To the last byte: of the page that the journal's end is in, too. */
  const fill = (agent: RunningAgent): void => {
    const full = (act: () => void): void => {
      for (;;) {
        try {
          act();
        } catch (error) {
          assert.match(String(error), /ENOSPC/);
          return;
        }
      }
    };
    full(() => appendFileSync(fillerOf(agent), Buffer.alloc(4096)));
    const old = { role: 'source', step: 'ended', outcome: 'kept', migration: 'x', attempt: 1, vm: '-', expiresAt: 1, runState: 'running' };
    full(() => agent.host.journal.append(old));
  };

  const empty = (agent: RunningAgent): void => rmSync(fillerOf(agent));

  const ends = async ({ migration }: MigrationSpec): Promise<[AttemptReport, AttemptReport]> =>
    Promise.all([follow(hosts.alpha, migration), follow(hosts.bravo, migration)]);

  const staysAtSource = async ({ migration }: MigrationSpec): Promise<void> => {
    assert.equal(await queryRunState(hosts.alpha.host.vms.vm(vm).monitor), 'running');
    assert.deepEqual(hosts.left(hosts.alpha, vm, migration), runsHere);
    assert.deepEqual(hosts.left(hosts.bravo, vm, migration), nothingLeft);
  };

  const moves = async (): Promise<void> => {
    const spec = testSpec(hosts.alpha, hosts.bravo);
    await order(hosts.alpha, hosts.bravo, vm, spec);
    const [at, to] = await ends(spec);
    assert.deepEqual([at.phase, to.phase], ['completed', 'completed'], at.failure?.message);
    assert.equal(hosts.bravo.host.vms.vm(vm).state, 'running');
  };

  /** Which file, which errno, what to do, and where the VM is: `words` hold the last. */
  const says = (message: string | undefined, agent: RunningAgent, errno: string, words: RegExp): void => {
    for (const each of [journalOf(agent), errno]) assert.ok(message?.includes(each), message);
    assert.match(message ?? '', words);
  };

  it('full at the source when the order comes: refused; with room again the next one goes through', async () => {
    const source = await onSmallDisk(hosts.alpha);
    fill(source);
    const spec = testSpec(source, hosts.bravo);
    await assert.rejects(order(source, hosts.bravo, vm, spec), (error: Error) => {
      says(
        error.message,
        source,
        'ENOSPC',
        /^VM web is not moved and is at host alpha as before: .*Make room on the file system of .*, then order it again$/,
      );
      return true;
    });
    // As the manager does when the source has refused.
    await hosts.bravo.attempts.cancel(spec.migration);
    await follow(hosts.bravo, spec.migration);
    await staysAtSource(spec);
    assert.equal(source.host.vms.vm(vm).moving, undefined);
    empty(source);
    await moves();
  });

  it('full at the destination when the order comes: refused; with room again the next one goes through', async () => {
    const destination = await onSmallDisk(hosts.bravo);
    fill(destination);
    const spec = testSpec(hosts.alpha, destination);
    await assert.rejects(order(hosts.alpha, destination, vm, spec), (error: Error) => {
      says(error.message, destination, 'ENOSPC', /^VM web is not moved and is at host alpha as before: .*Make room on/);
      return true;
    });
    await follow(destination, spec.migration);
    await staysAtSource(spec);
    empty(destination);
    await moves();
  });

  for (const full of ['source', 'destination'] as const) {
    it(`full at the ${full} before the handover: the VM runs on, and with room again it is moved, without a restart`, async () => {
      const agent = await onSmallDisk(full === 'source' ? hosts.alpha : hosts.bravo);
      const spec = testSpec(hosts.alpha, hosts.bravo, { limits: slow });
      await order(hosts.alpha, hosts.bravo, vm, spec);
      await follow(hosts.alpha, spec.migration, ({ phase }) => phase === 'copying');
      fill(agent);
      await hosts.alpha.attempts.adjust(spec.migration, { bandwidthBytesPerSecond: 0 });
      const [at, to] = await ends(spec);
      assert.deepEqual([at.phase, to.phase], ['failed', 'failed']);
      if (full === 'source')
        says(at.failure?.message, agent, 'ENOSPC', /VM web runs on at host alpha, and nothing of it is left at host bravo$/);
      else says(to.failure?.message, agent, 'ENOSPC', /VM web has not run at host bravo, which gives it back to host alpha/);
      await staysAtSource(spec);
      empty(agent);
      await moves();
    });
  }

  it('read-only at the source at the grant: as when it is full', async () => {
    const spec = testSpec(hosts.alpha, hosts.bravo);
    const fault = failJournal(journalOf(hosts.alpha), { call: 'write', errno: 'EROFS', at: '"step":"granted"' });
    try {
      await order(hosts.alpha, hosts.bravo, vm, spec);
      const [at] = await ends(spec);
      assert.equal(fault.refused.length, 1);
      says(at.failure?.message, hosts.alpha, 'EROFS', /read-only .* mount it writable\. VM web runs on at host alpha/);
    } finally {
      fault[Symbol.dispose]();
    }
    await staysAtSource(spec);
    await moves();
  });

  it('failing at the source at the grant: no order more before its agent is started again, and nothing of the grant is read then', async () => {
    const spec = testSpec(hosts.alpha, hosts.bravo);
    const fault = failJournal(journalOf(hosts.alpha), { call: 'fdatasync', errno: 'EIO', at: '"step":"granted"' });
    try {
      await order(hosts.alpha, hosts.bravo, vm, spec);
      const [at] = await ends(spec);
      says(at.failure?.message, hosts.alpha, 'EIO', /then start the agent again\. VM web runs on at host alpha/);
    } finally {
      fault[Symbol.dispose]();
    }
    await staysAtSource(spec);
    const next = testSpec(hosts.alpha, hosts.bravo);
    await assert.rejects(
      order(hosts.alpha, hosts.bravo, vm, next),
      /takes no records since an earlier failure: EIO .* start the agent again, then order it again/,
    );
    await hosts.bravo.attempts.cancel(next.migration);
    await follow(hosts.bravo, next.migration);
    await staysAtSource(next);
    await hosts.restart(hosts.alpha);
    await staysAtSource(next);
    assert.equal(hosts.alpha.host.vms.vm(vm).state, 'running');
    await moves();
  });

  it('failing at the destination at RUN: it gives the VM back', async () => {
    const spec = testSpec(hosts.alpha, hosts.bravo);
    const fault = failJournal(journalOf(hosts.bravo), { call: 'write', errno: 'EIO', at: '"step":"run"' });
    try {
      await order(hosts.alpha, hosts.bravo, vm, spec);
      const [at, to] = await ends(spec);
      assert.deepEqual([at.phase, to.phase], ['failed', 'failed']);
      says(to.failure?.message, hosts.bravo, 'EIO', /VM web has not run at host bravo, which gives it back to host alpha/);
    } finally {
      fault[Symbol.dispose]();
    }
    await staysAtSource(spec);
    await moves();
  });

  it('read-only at the source when it hears RUNNING: it keeps its copy, in doubt, until the record is taken', async () => {
    const spec = testSpec(hosts.alpha, hosts.bravo);
    const fault = failJournal(journalOf(hosts.alpha), { call: 'write', errno: 'EROFS', at: '"step":"released"' });
    try {
      await order(hosts.alpha, hosts.bravo, vm, spec);
      await follow(hosts.alpha, spec.migration, ({ phase }) => phase === 'in-doubt');
      await follow(hosts.bravo, spec.migration);
      assert.equal(hosts.alpha.host.vms.vm(vm).state, 'in-doubt');
      assert.ok(hosts.alpha.host.vms.vm(vm).pid, 'nothing is released');
      assert.equal(hosts.bravo.host.vms.vm(vm).state, 'running');
    } finally {
      fault[Symbol.dispose]();
    }
    assert.equal((await follow(hosts.alpha, spec.migration)).phase, 'completed');
    assert.deepEqual(hosts.left(hosts.alpha, vm, spec.migration), nothingLeft);
  });

  it('read-only at the source when it hears ABORTED: it does not run the VM again until the record is taken', async () => {
    const spec = testSpec(hosts.alpha, hosts.bravo);
    const atRun = failJournal(journalOf(hosts.bravo), { call: 'write', errno: 'EROFS', at: '"step":"run"' });
    const atResuming = failJournal(journalOf(hosts.alpha), { call: 'write', errno: 'EROFS', at: '"step":"resuming"' });
    try {
      await order(hosts.alpha, hosts.bravo, vm, spec);
      await follow(hosts.alpha, spec.migration, ({ phase }) => phase === 'in-doubt');
      await follow(hosts.bravo, spec.migration);
      assert.ok(atResuming.refused.length > 0);
      assert.equal(await queryRunState(hosts.alpha.host.vms.vm(vm).monitor), 'postmigrate');
    } finally {
      atRun[Symbol.dispose]();
      atResuming[Symbol.dispose]();
    }
    assert.equal((await follow(hosts.alpha, spec.migration)).phase, 'failed');
    await staysAtSource(spec);
  });
}
