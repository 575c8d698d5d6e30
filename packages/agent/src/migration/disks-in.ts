/**
 * The destination's side of disks that move with their VM: what comes on each disk's channel is written to the disk through its QEMU, which exports
 * it by NBD for as long as the guest does not run.
 */
import path from 'node:path';
import type { VmDefinition } from '@sealift/contract';
import { diskNode, exportDisks, type Monitor } from '@sealift/hypervisor';
import type { Session } from '@sealift/transport';
import type { Failure } from '../handover/records.ts';
import { MirrorOutlet } from '../mirror/index.ts';
import { diskOf } from './spec.ts';

export interface ArrivingDisks {
  readonly monitor: Monitor;
  /** Of the definition's disks, in the order of their channels. */
  readonly disks: readonly { readonly index: number; readonly sizeBytes: number }[];
  /** For sockets. */
  readonly directory: string;
  /** For messages. */
  readonly vm: VmDefinition;
  readonly host: string;
  /** A disk cannot be written any more; {@link DisksIn.applied} does not resolve then. */
  readonly failed: (failure: Failure) => void;
}

export class DisksIn {
  readonly #options: ArrivingDisks;
  #outlets: readonly MirrorOutlet[] = [];

  constructor(options: ArrivingDisks) {
    this.#options = options;
  }

  /** Resolves when whatever comes can be written. */
  async start(): Promise<void> {
    const { monitor, disks, directory, vm, host, failed } = this.#options;
    const exports = path.join(directory, 'nbd');
    await exportDisks(
      monitor,
      exports,
      disks.map(({ index }) => index),
    );
    this.#outlets = disks.map(
      ({ index, sizeBytes }, i) =>
        new MirrorOutlet({
          listenPath: path.join(directory, `${i}.in`),
          nbdPath: exports,
          exportName: diskNode(index),
          sizeBytes,
          failed: ({ message: why }) => {
            failed({ code: 'hypervisor', message: `${diskOf(vm, index)} cannot be written at host ${host}: ${why}` });
          },
        }),
    );
    await Promise.all(this.#outlets.map(({ listening }) => listening));
  }

  connect(session: Session): void {
    for (const i of this.#outlets.keys()) session.connectDisk(i, path.join(this.#options.directory, `${i}.in`));
  }

  /** Of each disk, how many writes came. Resolves when all of them are done. */
  async applied(): Promise<number[]> {
    return Promise.all(this.#outlets.map(async (outlet) => (await outlet.applied).writes));
  }

  /** Idempotent. */
  close(): void {
    for (const outlet of this.#outlets) outlet.close();
  }
}
