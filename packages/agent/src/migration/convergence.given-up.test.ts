/** Guests that write faster than they may be carried, and whose migration ends for that: they run on as if nothing had been. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { queryRunState } from '@sealift/hypervisor';
import { busyMoves, hot, MB, steps, thin } from '../testing/busy-moves.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';
import { lastRounds } from './convergence.ts';

withTwoHosts({ title: 'migrations of guests that write too much, which are given up', file: import.meta.url }, (hosts) => {
  const { boot, sweeps, move } = busyMoves(hosts);

  it('gives one up that may not be slowed, with its figures; it runs on, and moves as soon as it may', async () => {
    const vm = 'hopeless';
    await boot(vm, hot);
    const told = await move(vm, { bandwidthBytesPerSecond: thin, maxThrottlePercent: 0, maxDowntimeMs: 100 });
    const { failure, phase, progress } = told.source;
    assert.equal(phase, 'failed');
    assert.equal(failure?.code, 'did_not_converge', failure?.message);
    assert.match(
      failure.message,
      /^VM hopeless did not converge: after \d+ passes .* still left .* MB\/s .* may not be slowed.* 100 ms .*host alpha/,
    );
    assert.ok(failure.advice);
    assert.deepEqual(steps(told.seen.map(({ downtimeMs }) => downtimeMs)), [30, 45, 68, 100]);
    assert.deepEqual(steps(told.seen.map(({ throttlePercent }) => throttlePercent)), [0]);
    assert.ok((progress?.ram.passes ?? 0) > lastRounds, `${progress?.ram.passes} passes`);
    assert.equal(told.destination.phase, 'failed');

    const { alpha, bravo } = hosts();
    assert.equal(await queryRunState(alpha.host.vms.vm(vm).monitor), 'running');
    await sweeps(vm, 3);
    assert.deepEqual(hosts().left(alpha, vm, told.spec.migration), runsHere);
    assert.deepEqual(hosts().left(bravo, vm, told.spec.migration), nothingLeft);

    const again = await move(vm, { maxDowntimeMs: 5_000 });
    assert.equal(again.source.phase, 'completed', again.source.failure?.message);
    assert.equal(bravo.host.vms.vm(vm).state, 'running');
  });

  it('changes the deadline of one that is under way, and nothing once it has ended', async () => {
    const vm = 'deadline';
    await boot(vm, hot);
    let asked = false;
    const told = await move(
      vm,
      { bandwidthBytesPerSecond: MB, maxThrottlePercent: 0 },
      async (source, { migration }, { phase, progress }) => {
        if (asked || phase !== 'copying' || !progress) return;
        asked = true;
        await assert.rejects(source.attempts.adjust(migration, { deadlineMs: 1 }), {
          code: 'invalid_request',
          message: /VM deadline.*has passed/,
        });
        await source.attempts.adjust(migration, { deadlineMs: progress.elapsedMs + 1_000 });
      },
    );
    assert.deepEqual([told.source.phase, told.source.failure?.code], ['failed', 'migration_failed']);
    assert.match(told.source.failure?.message ?? '', /deadline/);
    await assert.rejects(hosts().alpha.attempts.adjust(told.spec.migration, { deadlineMs: 60_000 }), {
      code: 'wrong_state',
      message: /VM deadline is failed at host alpha/,
    });
    assert.equal(await queryRunState(hosts().alpha.host.vms.vm(vm).monitor), 'running');
  });
});
