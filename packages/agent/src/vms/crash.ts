/** A QEMU that is gone though nobody asked it to. */
import { access } from 'node:fs/promises';
import type { Logger } from 'pino';
import { saveRecord, type VmRecord } from './definitions.ts';
import { lastWords, removeHostResources } from './power.ts';
import type { Vm } from './vm.ts';

/**
 * Says so, and removes what it had of the host. Nothing happens to a VM that had none.
 * @param when finishes "QEMU ended …"
 */
export async function clearUp(vm: Vm, when: string, log: Logger): Promise<void> {
  const ran = vm.link !== undefined || (await leftTraces(vm));
  const ended = `QEMU ended ${when}; see ${vm.paths.qemuLog}`;
  if (ran) vm.crashing = ended;
  vm.link?.close();
  vm.link = undefined;
  try {
    if (ran) await recordCrash(vm, ended, log);
  } finally {
    vm.crashing = undefined;
    await removeHostResources(vm);
  }
}

async function recordCrash(vm: Vm, ended: string, log: Logger): Promise<void> {
  const words = await lastWords(vm);
  const crashed = `${ended}${words && ` (${words})`}`;
  log.error({ vm: vm.name, said: words }, ended);
  const record: VmRecord = { ...vm.record, crashed };
  try {
    await saveRecord(vm.paths, record);
  } finally {
    // After the disk, so that an agent that takes over at once says the same; and even where the disk took nothing.
    vm.record = record;
  }
}

/** Was there a QEMU? Run files go with their QEMU in an orderly end, and with the host. */
const leftTraces = (vm: Vm): Promise<boolean> =>
  access(vm.paths.runDirectory).then(
    () => true,
    () => false,
  );
