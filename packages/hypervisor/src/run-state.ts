/** Running, pausing and ending a VM over a {@link Monitor}; qapi/run-state.json and qapi/misc.json. */
import { QmpError } from './qmp/error.ts';
import { type Monitor, nextEvent } from './qmp/monitor.ts';
import { type AnnounceParameters, type ExecuteOptions, type RunState, runStates } from './qmp/vocabulary.ts';

/** @throws QmpError `protocol` where QEMU names a state that nobody here knows */
export async function queryRunState(monitor: Monitor, options?: ExecuteOptions): Promise<RunState> {
  const { status } = await monitor.execute('query-status', undefined, options);
  const state = runStates.find((known) => known === status);
  if (state === undefined) throw new QmpError('protocol', `QEMU reports an unknown run state, ${JSON.stringify(status)}`);
  return state;
}

/** Runs the vCPUs. Never while the state is `inmigrate`: QEMU then answers well, forgets `-S`, and runs the VM by itself once it has loaded. */
export async function cont(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('cont', undefined, options);
}

/** Pauses the vCPUs. */
export async function stop(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('stop', undefined, options);
}

/** Ends QEMU and with it the VM, as if its power were cut. The process goes shortly after; `untilGone` says when. */
export async function quit(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  try {
    await monitor.execute('quit', undefined, options);
  } catch (error) {
    // It may be gone before its answer is out.
    if (!(error instanceof QmpError && error.code === 'disconnected')) throw error;
  }
}

/** Presses the power button. With `-no-shutdown` a guest that obeys leaves QEMU in the state `shutdown` (event SHUTDOWN), for `quit` to end. */
export async function powerdown(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('system_powerdown', undefined, options);
}

/** Presses the reset button; resolves when QEMU has reset the machine (event RESET). One that does not run is left in `prelaunch` by QEMU. */
export async function reset(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  const done = nextEvent(monitor, ({ name }) => name === 'RESET', options);
  await Promise.all([done, monitor.execute('system_reset', undefined, options)]);
}

/** QEMU's own defaults: five announcements, 50, 150, 250 and 350 ms apart. */
const ANNOUNCE: AnnounceParameters = { initial: 50, max: 550, rounds: 5, step: 100 };

/** Tells switches and bridges where the VM's MAC addresses are now. After `cont` at a destination, and at a source that resumes. Answers after the first one. */
export async function announceSelf(monitor: Monitor, options?: ExecuteOptions): Promise<void> {
  await monitor.execute('announce-self', ANNOUNCE, options);
}
