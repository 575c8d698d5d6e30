/** Serial consoles of VMs: each serves one connection at a time. */
import { connect, type Socket } from 'node:net';
import { SealiftError } from '@sealift/contract';
import type { Vm } from './vm.ts';

export class Consoles {
  readonly #used = new Set<string>();

  /**
   * A connection to the VM's serial port, which takes one at a time.
   * @throws SealiftError `wrong_state` where it has no QEMU or the console is in use
   */
  async open({ name, state, link, paths }: Vm): Promise<Socket> {
    if (!link) throw new SealiftError('wrong_state', `${name} is ${state}: it has no console; its last output is in ${paths.serialLog}`);
    if (this.#used.has(name)) {
      throw new SealiftError('wrong_state', `${name}'s console is in use; it serves one at a time: close the other one first`);
    }
    this.#used.add(name);
    const socket = connect(paths.serialSocket);
    socket.once('close', () => this.#used.delete(name));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once('connect', resolve).once('error', reject);
    try {
      await promise;
    } catch (cause) {
      throw new SealiftError('hypervisor', `${name}'s console does not answer`, { cause });
    }
    return socket;
  }
}
