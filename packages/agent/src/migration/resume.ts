/** Making the VM at the source what it was before an attempt. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SealiftError } from '@sealift/contract';
import { announceSelf, cancelMigration, cont, type Monitor, QmpError, queryRunState, untilMigration } from '@sealift/hypervisor';
import type { RunState } from '../handover/records.ts';

const cancelMs = 10_000;
const resumeMs = 30_000;

/**
 * Cancels QEMU's migration where one goes on and lets the guest run again if it ran. May be repeated.
 *
 * Only the handover calls this, and only where the VM was never granted or the destination has aborted.
 *
 * @param stopped whether the guest's vCPUs stood still meanwhile, so that the network should hear of it again
 * @throws SealiftError `hypervisor` where QEMU does not let the guest run; QmpError
 */
export async function resumeAtSource(monitor: Monitor, before: RunState, stopped: boolean): Promise<void> {
  await cancelMigration(monitor);
  // QEMU says `failed` a moment before it has cleared up, and may hang while it does so: what counts is whether the guest runs.
  await untilMigration(monitor, ['none', 'cancelled', 'failed', 'completed'], { deadlineMs: cancelMs }).catch((error: unknown) => {
    if (!(error instanceof QmpError) || error.code !== 'timeout') throw error;
  });
  if (before === 'paused') return;
  const deadline = performance.now() + resumeMs;
  for (let state = await queryRunState(monitor); state !== 'running'; state = await queryRunState(monitor)) {
    // `postmigrate`: QEMU was done with its migration. The others are on their way to a state, or the guest's own doing.
    if (state === 'postmigrate' || state === 'paused') await cont(monitor);
    else if (state !== 'finish-migrate' && state !== 'inmigrate') return;
    if (performance.now() > deadline) throw new SealiftError('hypervisor', `the guest does not run again: QEMU says ${state}`);
    await sleep(2);
  }
  if (stopped) await announceSelf(monitor);
}
