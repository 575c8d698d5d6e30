/**
 * Guests that write faster than they may be carried, between two agents. What is asserted is counted: passes, steps, who runs. How long a pass takes is
 * the bandwidth limit's matter, not the machine's.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttemptReport, MigrationLimits, MigrationProgress, MigrationSpec } from '@sealift/contract';
import { queryMigration, queryRunState } from '@sealift/hypervisor';
import type { RunningAgent } from '../run.ts';
import { type BusyGuest, writeBusyGuest } from '../testing/busy-guest.ts';
import { follow, order, testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';
import { lastRounds } from './convergence.ts';

const MB = 1e6;
const workingSetMiB = 9;
/** A pass over the working set takes about a second. */
const thin = 8 * MB;
/** It has written to all of its working set long before a pass ends. */
const hot: BusyGuest = { workingSetMiB, bytesPerSecond: 200 * MB };

withTwoHosts({ title: 'migrations of guests that write too much', file: import.meta.url }, (hosts) => {
  const directory = mkdtempSync(join(tmpdir(), 'busy-'));
  after(() => rmSync(directory, { recursive: true }));

  async function boot(vm: string, guest: BusyGuest): Promise<void> {
    const kernel = join(directory, vm);
    writeBusyGuest(kernel, guest);
    const { vms } = hosts().alpha.host;
    const definition = { name: vm, memoryMiB: 64, vcpus: 1, cpuModel: 'qemu64', machine: 'pc-q35-7.2', encryption: 'required' } as const;
    await vms.define({ ...definition, kernelBoot: { kernel, cmdline: '' }, disks: [], nics: [] });
    await vms.start(vm);
    await sweeps(vm, 2);
  }

  /** Resolves once the guest at alpha has been over its working set so many times more. */
  async function sweeps(vm: string, wanted: number): Promise<void> {
    const { paths } = hosts().alpha.host.vms.vm(vm);
    const count = (): number => readFileSync(paths.serialLog, 'latin1').split('.').length;
    for (const from = count(); count() < from + wanted; ) await sleep(20);
  }

  interface Told {
    readonly spec: MigrationSpec;
    readonly source: AttemptReport;
    readonly destination: AttemptReport;
    readonly seen: readonly MigrationProgress[];
  }

  async function move(
    vm: string,
    limits: Partial<MigrationLimits>,
    meanwhile: (source: RunningAgent, spec: MigrationSpec, report: AttemptReport) => Promise<void> = async () => {},
  ): Promise<Told> {
    const { alpha, bravo } = hosts();
    const spec = testSpec(alpha, bravo, { limits: { deadlineMs: 3_600_000, ...limits } });
    await order(alpha, bravo, vm, spec);
    const seen: MigrationProgress[] = [];
    let last: AttemptReport | undefined;
    for await (const report of alpha.attempts.watch(spec.migration, new AbortController().signal)) {
      last = report;
      if (report.progress) seen.push(report.progress);
      await meanwhile(alpha, spec, report);
    }
    assert.ok(last);
    return { spec, source: last, destination: await follow(bravo, spec.migration), seen };
  }

  /** As they came, each once. */
  const steps = (values: readonly (number | undefined)[]): readonly (number | undefined)[] =>
    values.filter((value, i) => i === 0 || value !== values[i - 1]);

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
