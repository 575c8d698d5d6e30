/**
 * Moves of guests that write faster than they may be carried, between two agents. What tests assert of them is counted: passes, steps, who runs. How
 * long a pass takes is the bandwidth limit's matter, not the machine's.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttemptReport, MigrationLimits, MigrationProgress, MigrationSpec } from '@sealift/contract';
import type { RunningAgent } from '../run.ts';
import { type BusyGuest, writeBusyGuest } from './busy-guest.ts';
import { follow, order, testSpec } from './order.ts';
import type { TwoHosts } from './two-hosts.ts';

export const MB = 1e6;
export const workingSetMiB = 9;
/** A pass over the working set takes about a second. */
export const thin = 8 * MB;
/** It has written to all of its working set long before a pass ends. */
export const hot: BusyGuest = { workingSetMiB, bytesPerSecond: 200 * MB };

/** As they came, each once. */
export const steps = (values: readonly (number | undefined)[]): readonly (number | undefined)[] =>
  values.filter((value, i) => i === 0 || value !== values[i - 1]);

export interface Told {
  readonly spec: MigrationSpec;
  readonly source: AttemptReport;
  readonly destination: AttemptReport;
  readonly seen: readonly MigrationProgress[];
}

/** For a file of tests; the guests' kernels go with it. */
export function busyMoves(hosts: () => TwoHosts) {
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

  return { boot, sweeps, move };
}
