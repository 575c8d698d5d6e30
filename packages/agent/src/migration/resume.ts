/** Making the VM at the source what it was before an attempt. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SealiftError } from '@sealift/contract';
import {
  announceSelf,
  cancelMigration,
  cont,
  killQemu,
  type MigrationStatus,
  type Monitor,
  QmpError,
  queryMigration,
  queryRunState,
} from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { RunState } from '../handover/records.ts';
import type { Vm } from '../vms/vm.ts';
import { firstRetryMs, longestRetryMs } from './side.ts';

const cancelMs = 10_000;
/** Cancelling takes a few milliseconds unless it was missed. */
const nudgeMs = 100;
const resumeMs = 30_000;

/**
 * {@link resumeAtSource} as often as it takes: whoever waits for the VM waits for this, and nobody else may run it.
 *
 * @param freeDisks ends whatever else has a hand on its disks; may be repeated
 * @returns `vm-gone` also where QEMU does not come out of post-copy: it can run the VM no more (7.2), and is ended
 */
export async function insistOnResuming(
  vm: Vm,
  before: RunState | 'off',
  stopped: boolean,
  freeDisks: () => Promise<void>,
  log: Logger,
): Promise<'resumed' | 'vm-gone'> {
  let drawn = false;
  for (let wait = firstRetryMs; ; wait = Math.min(wait * 2, longestRetryMs)) {
    try {
      await freeDisks();
      const { status } = await queryMigration(vm.monitor);
      // QEMU 7.2 shuts its way back before it is `cancelling`: where the thread that reads there is quicker, it waits to be recovered, for ever.
      const hangs = drawn && status === 'cancelling';
      drawn ||= status === 'postcopy-active';
      if ((hangs || stranded.includes(status)) && vm.process) {
        log.error({ status }, 'the VM cannot be let run again: its QEMU does not come out of post-copy');
        await killQemu(vm.process);
        await vm.exited;
        return 'vm-gone';
      }
      await resumeAtSource(vm.monitor, before, stopped, drawn);
      return 'resumed';
    } catch (error) {
      log.error({ err: error }, 'the VM could not be let run again at the source yet');
      if ((await Promise.race([vm.exited.then(() => 'gone'), sleep(wait, 'again', { ref: false })])) === 'gone') return 'vm-gone';
    }
  }
}

const stranded: readonly MigrationStatus[] = ['postcopy-paused', 'postcopy-recover', 'postcopy-recover-setup'];

/**
 * Cancels QEMU's migration where one goes on and lets the guest run again if it ran. May be repeated.
 *
 * Only the handover calls this, and only where the VM was never granted or the destination has aborted.
 *
 * @param before `off` where the guest has powered off: nothing runs again then
 * @param stopped whether the guest's vCPUs stood still meanwhile, so that the network should hear of it again
 * @param drawn whether post-copy had begun
 * @throws SealiftError `hypervisor` where QEMU does not let the guest run; QmpError
 */
async function resumeAtSource(monitor: Monitor, before: RunState | 'off', stopped: boolean, drawn: boolean): Promise<void> {
  // While it sends the last of a stopped VM it is about to complete, and QEMU 7.2 can hang for good when it is cancelled just then with multifd.
  // Completed is as good as cancelled: the VM was never granted.
  const { status } = await queryMigration(monitor);
  if (status !== 'device' && status !== 'completed') await cancelMigration(monitor);
  if (!(await untilOver(monitor)) && drawn) throw new SealiftError('hypervisor', 'QEMU does not come out of post-copy');
  if (before !== 'running') return;
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

const over: readonly MigrationStatus[] = ['none', 'cancelled', 'failed', 'completed'];

/**
 * Waits until QEMU's migration is over, or for {@link cancelMs}: what counts is whether the guest runs.
 * @returns whether it is over
 *
 * QEMU (7.2 at least) misses a cancel that comes just as it stops the VM for `pause-before-switchover`: it is then `cancelling`, and waits for
 * migrate-continue for ever. Told to continue from `cancelling`, it goes on, and cancels.
 */
async function untilOver(monitor: Monitor): Promise<boolean> {
  const begun = performance.now();
  for (let nudged = false; performance.now() - begun < cancelMs; await sleep(5)) {
    const { status } = await queryMigration(monitor);
    if (over.includes(status)) return true;
    if (status !== 'cancelling' || nudged || performance.now() - begun < nudgeMs) continue;
    nudged = true;
    await monitor.execute('migrate-continue', { state: 'cancelling' }).catch((error: unknown) => {
      // It was over in that moment.
      if (!(error instanceof QmpError) || error.code !== 'command') throw error;
    });
  }
  return false;
}
