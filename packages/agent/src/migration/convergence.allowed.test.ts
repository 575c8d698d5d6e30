/** Guests that write faster than they may be carried, and are moved once they may: by a budget that grows, or a limit that is lifted. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { busyMoves, hot, MB, steps, thin, workingSetMiB } from '../testing/busy-moves.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

withTwoHosts({ title: 'migrations of guests that write too much, which are allowed more', file: import.meta.url }, (hosts) => {
  const { boot, move } = busyMoves(hosts);

  it('lets the switch-over budget grow, no further than it may, until what is left fits', async () => {
    const vm = 'budget';
    await boot(vm, hot);
    const told = await move(vm, { bandwidthBytesPerSecond: thin, maxThrottlePercent: 0, downtimeMs: 300, maxDowntimeMs: 3_000 });
    assert.equal(told.source.phase, 'completed', told.source.failure?.message);
    const budgets = steps(told.seen.map(({ downtimeMs }) => downtimeMs));
    assert.ok(budgets.length > 1, 'it fitted at once');
    assert.deepEqual(budgets, [300, 450, 675, 1013, 1520, 2280, 3000].slice(0, budgets.length));
  });

  it('finishes one whose bandwidth limit is lifted while it crawls', async () => {
    const vm = 'lifted';
    await boot(vm, { workingSetMiB, bytesPerSecond: 24 * MB });
    let lifted = 0;
    const told = await move(vm, { bandwidthBytesPerSecond: 4 * MB, maxThrottlePercent: 0 }, async (source, { migration }, { progress }) => {
      if (lifted > 0 || (progress?.ram.passes ?? 0) < 4) return;
      lifted = progress?.ram.passes ?? 0;
      await source.attempts.adjust(migration, { bandwidthBytesPerSecond: 0 });
    });
    assert.equal(told.source.phase, 'completed', told.source.failure?.message);
    assert.ok(lifted >= 4 && told.seen.every(({ downtimeMs }) => (downtimeMs ?? 0) <= 300));
  });
});
