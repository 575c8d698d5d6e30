/** Guests that write faster than they may be carried, and are slowed. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { queryRunState } from '@sealift/hypervisor';
import { busyMoves, hot, steps, thin } from '../testing/busy-moves.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

withTwoHosts({ title: 'migrations of guests that write too much, which are slowed', file: import.meta.url }, (hosts) => {
  const { boot, move } = busyMoves(hosts);

  it('slows one that may be slowed, step by step, until it fits', async () => {
    const vm = 'slowed';
    await boot(vm, hot);
    const told = await move(vm, { bandwidthBytesPerSecond: thin, maxThrottlePercent: 99 });
    assert.equal(told.source.phase, 'completed', told.source.failure?.message);
    const throttles = steps(told.seen.map(({ throttlePercent }) => throttlePercent)).filter((percent) => percent !== 0);
    assert.ok(throttles.length > 0);
    assert.deepEqual(throttles, [20, 30, 40, 50, 60, 70, 80, 90, 99].slice(0, throttles.length));
    assert.equal(await queryRunState(hosts().bravo.host.vms.vm(vm).monitor), 'running');
  });
});
