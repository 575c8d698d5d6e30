/** Letting a VM run that has come: what QEMU makes of it. */
import { cont, queryRunState } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { DestinationEvent } from '../handover/destination.ts';
import type { Failure, RunState } from '../handover/records.ts';
import type { Vm } from '../vms/vm.ts';
import { failureOf } from './side.ts';

/** @param running called once it runs, and before anybody is told */
export async function letRun(vm: Vm | undefined, runState: RunState, running: () => Promise<void>, log: Logger): Promise<DestinationEvent> {
  if (vm?.pid === undefined || vm.link?.gone) {
    return {
      type: 'would-not-run',
      failure: { code: 'hypervisor', message: "the VM's QEMU ended at the destination before it ran; see its log" },
    };
  }
  try {
    // Repeated after a restart, when it may run already.
    if (runState === 'running' && (await queryRunState(vm.monitor)) !== 'running') await cont(vm.monitor);
    await running();
    return { type: 'runs' };
  } catch (error) {
    return wouldNotRun(vm, failureOf(error, 'hypervisor'), log);
  }
}

/** Giving it back is safe only while it has never run here: QEMU says so itself, or it is kept. */
async function wouldNotRun(vm: Vm, failure: Failure, log: Logger): Promise<DestinationEvent> {
  const state = await queryRunState(vm.monitor).catch(() => undefined);
  log.error({ failure, state }, 'QEMU did not run the VM');
  if (state === 'paused') return { type: 'would-not-run', failure };
  return { type: state === undefined ? 'vm-gone' : 'runs' };
}
