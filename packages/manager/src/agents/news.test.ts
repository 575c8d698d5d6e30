import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Site } from '../testing/site.ts';

it('of an agent that tells news they are heard when they come, and it is not asked more often than it has some', async () => {
  // Nobody polls while this test runs.
  const site = await Site.start({ tuning: { pollMs: 3_600_000 } });
  const { alpha } = site;
  try {
    await site.running('redis');
    alpha.tellsNews = true;
    await site.client.suspendVm({ params: { vm: 'redis' } });
    await site.stopManager();
    await site.startManager();
    const stateOf = async () => (await site.client.getVm({ params: { vm: 'redis' } })).state;
    assert.equal(await stateOf(), 'paused');
    for (const state of ['crashed', 'running', 'stopped'] as const) {
      const before = alpha.host.calls.length;
      alpha.host.settleVm('redis', state);
      while ((await stateOf()) !== state) await sleep(10);
      assert.ok(alpha.host.calls.length - before <= 4, `${alpha.host.calls.length - before} calls for one piece of news`);
    }
  } finally {
    await site.close();
  }
});
