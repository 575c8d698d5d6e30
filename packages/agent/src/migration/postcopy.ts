/** Post-copy, as far as QEMU and the VM's place at a host are concerned; what it means for the handover is in handover/postcopy.ts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MigrationSpec, SealiftError } from '@sealift/contract';
import { killQemu, type MigrationState, type Monitor, QmpError, queryMigration, queryRunState, startPostcopy } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { DestinationEvent } from '../handover/destination.ts';
import type { Failure } from '../handover/records.ts';
import type { VmHost } from '../vms/host.ts';
import type { Vm } from '../vms/vm.ts';
import { insist } from './side.ts';

/** A copy at its source that may end by post-copy. */
export class PostcopyCopy {
  readonly #monitor: Monitor;
  readonly #log: Logger;
  #started = false;
  granted = false;

  constructor(monitor: Monitor, log: Logger) {
    this.#monitor = monitor;
    this.#log = log;
  }

  /** It has gone over all of memory once: what is left is what was written to meanwhile. @returns whether it needs no other end any more */
  async look({ status, ram }: MigrationState): Promise<boolean> {
    if (this.#started || status !== 'active' || !ram || ram.passes < 2) return this.#started;
    this.#started = true;
    try {
      this.#log.info({ remaining: ram.remaining }, 'the rest of the memory goes by post-copy');
      await startPostcopy(this.#monitor);
    } catch (error) {
      this.#log.warn({ err: error }, 'QEMU did not begin with post-copy; tried again');
      this.#started = false;
    }
    return this.#started;
  }
}

/** Says of a QEMU that refused its settings what may be the matter with its host. @returns what throws it */
export function takingPostcopy({ limits, destination }: MigrationSpec, vm: string): (error: unknown) => never {
  return (error) => {
    if (!limits.postcopy || !(error instanceof QmpError) || error.code !== 'command') throw error;
    const message =
      `host ${destination.name} cannot take VM ${vm} by post-copy: its QEMU says ${JSON.stringify(error.message)}. QEMU needs userfaultfd for it: ` +
      'run the agent as root, or set vm.unprivileged_userfaultfd=1 there. Or order the migration without post-copy';
    throw new SealiftError('incompatible', message, { cause: error });
  };
}

const restarted: Failure = {
  code: 'internal',
  message: "the destination's agent ended before all of the VM's memory was there, and its channels with it",
};

/**
 * After a restart with RUN by post-copy in the journal.
 *
 * @returns `starved` or `would-not-run` where pages are missing, for good; `loaded` where none is
 */
export async function findOutWhatIsMissing(vm: Vm): Promise<DestinationEvent> {
  for (;;) {
    if (vm.pid === undefined || vm.link?.gone) return { type: 'vm-gone' };
    try {
      const { status } = await queryMigration(vm.monitor);
      if (status === 'completed') return { type: 'loaded' };
      return { type: (await queryRunState(vm.monitor)) === 'paused' ? 'would-not-run' : 'starved', failure: restarted };
    } catch {
      // It must be known: only a VM that never ran here is given back. Its QEMU is reached again, or goes.
      await sleep(250);
    }
  }
}

/** For what has come already to be taken in, once the line has died. */
const takingInMs = 2_000;

/** That a channel died may be heard before QEMU says that it has every page. */
async function hasEveryPage(vm: Vm): Promise<boolean> {
  for (const begun = performance.now(); performance.now() - begun < takingInMs && vm.pid !== undefined && !vm.link?.gone; await sleep(50)) {
    const status = await queryMigration(vm.monitor).then(
      (state) => state.status,
      () => undefined,
    );
    if (status === 'completed') return true;
    if (status !== 'postcopy-active') return false;
  }
  return false;
}

/**
 * Ends a VM that ran here and cannot run on, where that has not happened by itself: it stays this host's, off, to be started again from its disks.
 *
 * @returns `loaded` where it has every page after all, and runs on
 */
export async function endVm(vm: Vm, host: VmHost, log: Logger): Promise<DestinationEvent> {
  if (await hasEveryPage(vm)) return { type: 'loaded' };
  log.error('the VM has lost its memory: it stays here, off');
  const { process } = vm;
  if (process) {
    await insist(
      () => killQemu(process),
      (error) => log.error({ err: error }, 'the QEMU of a VM that has lost its memory is still there'),
    );
    await vm.exited;
  }
  await insist(
    () => host.adoptIncoming(vm),
    (error) => log.error({ err: error }, "the VM's definition cannot be saved yet"),
  );
  return { type: 'discarded' };
}
