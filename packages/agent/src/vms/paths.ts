/** Where a VM's files are. */
import { join } from 'node:path';
import type { RuntimePaths } from '@sealift/hypervisor';

export interface VmPaths extends RuntimePaths {
  /** Survives a reboot of the host: definition, logs. */
  readonly stateDirectory: string;
  /** There while QEMU runs: sockets, the pidfile, and the seed for cloud-init. */
  readonly runDirectory: string;
  readonly definition: string;
  readonly qemuLog: string;
  readonly seed: string;
}

export function vmPaths(state: string, run: string, vm: string): VmPaths {
  const stateDirectory = join(state, 'vms', vm);
  const runDirectory = join(run, 'vms', vm);
  return {
    stateDirectory,
    runDirectory,
    definition: join(stateDirectory, 'definition.json'),
    serialLog: join(stateDirectory, 'serial.log'),
    qemuLog: join(stateDirectory, 'qemu.log'),
    qmpSocket: join(runDirectory, 'qmp.sock'),
    spareQmpSocket: join(runDirectory, 'qmp-spare.sock'),
    serialSocket: join(runDirectory, 'serial.sock'),
    pidfile: join(runDirectory, 'pid'),
    seed: join(runDirectory, 'seed.img'),
  };
}
