/** A guest that writes faster than it may be carried, and may be slowed only so far: as convergence.slowed.test.ts, and beside it, as both take long. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { queryMigration } from '@sealift/hypervisor';
import { busyMoves, hot, steps, thin } from '../testing/busy-moves.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

withTwoHosts({ title: 'migrations of guests that write too much, which are slowed only so far', file: import.meta.url }, (hosts) => {
  const { boot, sweeps, move } = busyMoves(hosts);

  it('slows one no further than it may be, and one that is given up not at all any more', async () => {
    const vm = 'unslowed';
    await boot(vm, hot);
    const told = await move(vm, { bandwidthBytesPerSecond: thin, maxThrottlePercent: 30, maxDowntimeMs: 30 });
    assert.equal(told.source.failure?.code, 'did_not_converge', told.source.failure?.message);
    assert.match(told.source.failure.message, /slowed by 30 % \(at most 30 % is allowed\)/);
    assert.deepEqual(steps(told.seen.map(({ throttlePercent }) => throttlePercent)).slice(0, 3), [0, 20, 30]);
    const { monitor } = hosts().alpha.host.vms.vm(vm);
    const { status, throttlePercent } = await queryMigration(monitor);
    assert.deepEqual([status, throttlePercent], ['cancelled', 0]);
    await sweeps(vm, 3);
  });
});
