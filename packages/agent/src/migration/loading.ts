/** How the destination's QEMU gets on with what comes to it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Monitor, queryMigration, queryRunState } from '@sealift/hypervisor';
import type { Failure } from '../handover/records.ts';
import { lastWords } from '../vms/power.ts';
import type { Vm } from '../vms/vm.ts';
import { failureOf } from './side.ts';

export interface LoadingHandlers {
  /** QEMU has heard everything, or, by post-copy, all but memory: `drawing`. */
  loaded(what: 'loaded' | 'drawing'): Promise<void>;
  failed(failure: Failure): void;
}

/** @returns what ends it */
export function watchLoading(vm: Vm, handlers: LoadingHandlers): () => void {
  const { monitor } = vm;
  const loaded = async (what: 'loaded' | 'drawing'): Promise<void> => {
    try {
      // QEMU's state is `paused` at once; the loop is for versions that take a moment.
      while ((await queryRunState(monitor)) === 'inmigrate') await sleep(1);
      await handlers.loaded(what);
    } catch (error) {
      handlers.failed(failureOf(error, 'hypervisor'));
    }
  };
  return monitor.onEvent((event) => {
    if (event.name !== 'MIGRATION') return;
    const { status } = event.data;
    if (status === 'completed') void loaded('loaded');
    else if (status === 'postcopy-active') void loaded('drawing');
    else if (status === 'failed' || status === 'postcopy-paused') void whyFailed(monitor, vm).then((failure) => handlers.failed(failure));
  });
}

async function whyFailed(monitor: Monitor, vm: Vm): Promise<Failure> {
  const said = (await queryMigration(monitor).catch(() => undefined))?.error ?? (await lastWords(vm));
  return { code: 'hypervisor', message: `QEMU could not load the VM${said ? `: ${said}` : ''}` };
}
