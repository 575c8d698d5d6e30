/** Letting a VM run that has come: what QEMU makes of it, and who is told. */
import { setTimeout as sleep } from 'node:timers/promises';
import { announceSelf, cont, queryRunState, unexportDisks } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { DestinationEvent } from '../handover/destination.ts';
import type { Failure, RunState } from '../handover/records.ts';
import type { Vm } from '../vms/vm.ts';
import { asked, failureOf } from './side.ts';

const askAgainMs = 50;

/** @param running called once it runs, and before anybody is told */
export async function letRun(vm: Vm | undefined, runState: RunState, running: () => Promise<void>, log: Logger): Promise<DestinationEvent> {
  if (vm?.pid === undefined || vm.link?.gone) return goneBefore;
  let told = false;
  try {
    // Whatever wrote to its disks for the migration is through; a guest's disk is written by nobody else.
    if (vm.hasOwnDisks) await unexportDisks(vm.monitor);
    if (runState === 'running') {
      const state = await queryRunState(vm.monitor);
      told = true;
      // Repeated after a restart, when it may run already.
      if (state !== 'running') await cont(vm.monitor);
    }
    await running();
    return { type: 'runs' };
  } catch (error) {
    const became = await wouldNotRun(vm, failureOf(error, 'hypervisor'), log);
    // Its end is noticed a moment after it: what it was never told, it did not do.
    return became.type === 'vm-gone' && !told ? goneBefore : became;
  }
}

const goneBefore: DestinationEvent = {
  type: 'would-not-run',
  failure: { code: 'hypervisor', message: "the VM's QEMU ended at the destination before it ran; see its log" },
};

/** Giving it back is safe only while it has never run here: QEMU says so itself, or it is kept. One that does not answer is asked until it does, or is gone. */
async function wouldNotRun(vm: Vm, failure: Failure, log: Logger): Promise<DestinationEvent> {
  log.error({ failure }, 'QEMU did not run the VM');
  while (vm.pid !== undefined && !vm.link?.gone) {
    try {
      return (await queryRunState(vm.monitor)) === 'paused' ? { type: 'would-not-run', failure } : { type: 'runs' };
    } catch {
      await sleep(askAgainMs);
    }
  }
  return { type: 'vm-gone' };
}

/** Tells the network where the VM is now. Where QEMU does not, or is gone already, what follows is to be done all the same. */
export async function announce(vm: Vm, log: Logger): Promise<void> {
  await asked(
    () => announceSelf(vm.monitor),
    (error) => log.warn({ err: error }, 'the network was not told where the VM is'),
  );
}
