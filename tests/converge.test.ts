/** A guest that writes more than its migration may carry, ordered as a person would: what the command says and ends with, and what can be done then. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ManagerClient, managerClient } from '../lab/src/lab/api.ts';
import { writeBusyGuest } from '../packages/agent/src/testing/busy-guest.ts';
import type { Migration } from '../packages/contract/src/index.ts';
import { TestLab } from './support/lab.ts';

/** Far beyond what any of it takes: a hang ends in a failure that cleans up. */
const timeout = 110_000;
const vm = 'busy';

describe('a guest that writes too much', () => {
  const stack = new AsyncDisposableStack();
  let lab: TestLab;
  let manager: ManagerClient;

  before(
    async () => {
      lab = stack.use(await TestLab.up());
      manager = stack.use(managerClient(lab.paths.managerSocket));
      const directory = mkdtempSync(join(tmpdir(), 'busy-'));
      stack.defer(() => rmSync(directory, { recursive: true }));
      const kernel = join(directory, 'kernel');
      writeBusyGuest(kernel, { workingSetMiB: 9, bytesPerSecond: 100e6 });
      const definition = { name: vm, memoryMiB: 64, vcpus: 1, cpuModel: 'qemu64', machine: 'pc-q35-7.2', encryption: 'required' } as const;
      await manager.createVm({
        body: { host: 'alpha', definition: { ...definition, kernelBoot: { kernel, cmdline: '' }, disks: [], nics: [] } },
      });
      await manager.startVm({ params: { vm } });
    },
    { timeout },
  );

  after(() => stack.disposeAsync());

  const runsAt = async (host: string): Promise<void> => {
    const now = await manager.getVm({ params: { vm } });
    assert.deepEqual([now.host, now.state], [host, 'running']);
  };

  it('is refused a budget that would have to shrink, naming both limits', async () => {
    const { status, stderr } = await lab.sealift('vm', 'migrate', vm, '--to', 'bravo', '--downtime', '100', '--max-downtime', '50');
    assert.equal(status, 2);
    assert.match(stderr, /maxDowntimeMs is 50 ms.*downtimeMs, 100 ms/);
  });

  it('ends with its own exit status and its figures where nothing may be done about it, and runs on', { timeout }, async () => {
    const flags = ['--bandwidth', '8M', '--max-throttle', '0', '--max-downtime', '30'];
    const { status, stdout, stderr } = await lab.sealift('vm', 'migrate', vm, '--to', 'bravo', ...flags);
    assert.equal(status, 10, stderr);
    assert.match(
      stdout,
      /^busy was not moved: VM busy did not converge: after \d+ passes .*It runs on at host alpha.*\(did_not_converge\)/,
    );
    assert.match(stdout, /--max-throttle/);
    assert.match(stderr, /pass \d+, budget 30 ms/);
    await runsAt('alpha');
  });

  it('arrives as soon as its bandwidth limit is lifted', { timeout }, async () => {
    const ordered = await lab.json<Migration>(
      'vm',
      'migrate',
      vm,
      '--to',
      'bravo',
      '--detach',
      '--bandwidth',
      '4M',
      '--max-downtime',
      '5000',
    );
    const params = { migration: ordered.id };
    let lifted = false;
    for await (const { progress } of manager.watchMigration({ params })) {
      if (lifted || (progress?.ram.passes ?? 0) < 2) continue;
      lifted = true;
      await manager.adjustMigration({ params, body: { bandwidthBytesPerSecond: 0 } });
    }
    const { phase, failure } = await manager.getMigration({ params });
    assert.equal(phase, 'completed', failure?.message);
    assert.ok(lifted);
    await runsAt('bravo');
    await assert.rejects(manager.adjustMigration({ params, body: { bandwidthBytesPerSecond: 0 } }), { code: 'wrong_state' });
  });
});
