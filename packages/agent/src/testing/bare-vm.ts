/** The VM of tests that need one to run: it has nothing to boot from, so its firmware idles, and that is guest enough. */
import type { VmDefinition } from '@sealift/contract';

/** @param rest what is to be otherwise; it has to be moved sealed by default */
export const bareVm = (name: string, rest: Partial<VmDefinition> = {}): VmDefinition => ({
  name,
  memoryMiB: 64,
  vcpus: 1,
  cpuModel: 'qemu64',
  machine: 'pc-q35-7.2',
  disks: [],
  nics: [],
  encryption: 'required',
  ...rest,
});
