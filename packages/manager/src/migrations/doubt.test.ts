import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Site } from '../testing/site.ts';

describe('a migration in doubt settles through the manager', { timeout: 120_000 }, () => {
  let site: Site;
  beforeEach(async () => {
    site = await Site.start();
  });
  afterEach(() => site.close());
  const vm = async (name: string) => {
    const { host, state, problem } = await site.client.getVm({ params: { vm: name } });
    return { host, state, problem };
  };
  const settled = (agent: 'alpha' | 'bravo') => site[agent].host.calls.filter((call) => call === 'settleAttempt').length;

  it('where the destination runs the VM', async () => {
    const id = await site.doubtful('redis', 'ran');
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    assert.deepEqual(await vm('redis'), { host: 'bravo', state: 'running', problem: undefined });
    assert.equal(site.alpha.host.vms.size, 0);
    // The pretended agents do not speak to each other: it was the manager who carried it.
    assert.ok(settled('alpha') >= 1 && settled('bravo') >= 1);
  });

  it('where the destination could not run it', async () => {
    const id = await site.doubtful('redis', 'aborted');
    const last = (await site.watch(id)).at(-1);
    assert.equal(last?.phase, 'failed');
    assert.match(last?.failure?.message ?? '', /^host bravo: QEMU did not load the VM/);
    assert.deepEqual(await vm('redis'), { host: 'alpha', state: 'running', problem: undefined });
  });

  it('where the destination has returned and asks first', async () => {
    const id = await site.doubtful('redis', 'returning');
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    assert.deepEqual(await vm('redis'), { host: 'bravo', state: 'running', problem: undefined });
    assert.equal(site.alpha.host.vms.size, 0);
  });

  it('where the destination has returned, and the source comes back later', async () => {
    const id = await site.doubtful('redis', 'returning');
    await site.alpha.stop();
    await site.reaches(id, 'in-doubt');
    await site.alpha.start();
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    assert.deepEqual(await vm('redis'), { host: 'bravo', state: 'running', problem: undefined });
  });

  it('where its memory was lost at the destination: no older copy takes its place, and it can be started again there', async () => {
    const id = await site.doubtful('redis', 'lost');
    const last = (await site.watch(id)).at(-1);
    assert.equal(last?.phase, 'lost');
    assert.match(last?.failure?.message ?? '', /^VM redis had been handed over by host alpha and was lost at host bravo/);
    assert.match(last?.failure?.advice ?? '', /VM redis is off, on host bravo.*sealift vm start redis/);
    assert.deepEqual(await vm('redis'), { host: 'bravo', state: 'crashed', problem: undefined });
    assert.equal(site.alpha.host.vms.size, 0);
    assert.equal((await site.client.startVm({ params: { vm: 'redis' } })).state, 'running');
  });

  it('as soon as a host that was away is back, also after a restart of the manager, and is in doubt until then', async () => {
    await site.running('redis');
    site.alpha.host.hold('releasing');
    const { id } = await site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'bravo' } });
    await site.reaches(id, 'granted');
    await site.bravo.stop();
    site.alpha.host.breakOff(id, 'ran');
    await site.reaches(id, 'in-doubt');
    const shown = await vm('redis');
    assert.deepEqual([shown.host, shown.state], ['alpha', 'in-doubt']);
    assert.match(
      shown.problem ?? '',
      /in doubt between host alpha and host bravo.*alpha \(in-doubt\).*Silent: bravo.*sealift migration resolve/,
    );

    await site.stopManager();
    await site.startManager();
    assert.equal((await site.client.getMigration({ params: { migration: id } })).phase, 'in-doubt');
    await site.bravo.start();
    assert.equal((await site.watch(id)).at(-1)?.phase, 'completed');
    assert.deepEqual(await vm('redis'), { host: 'bravo', state: 'running', problem: undefined });
  });
});
