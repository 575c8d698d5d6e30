/** What goes to the other host while the VM runs on here: its disks, then its memory. How it gets on, and whether it is to be given up. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { LimitsChange, MigrationPhase, MigrationProgress, MigrationSpec, VmDefinition } from '@sealift/contract';
import { type Monitor, queryMigration, startOutgoing } from '@sealift/hypervisor';
import type { Session } from '@sealift/transport';
import type { Logger } from 'pino';
import type { Failure } from '../handover/records.ts';
import type { Sent } from '../handover/source.ts';
import { CopyLimits } from './copy-limits.ts';
import { DisksOut } from './disks-out.ts';
import { PostcopyCopy } from './postcopy.ts';
import { ProgressMeter } from './progress.ts';
import { asked } from './side.ts';
import { copiedDisks, diskOf, multifdChannels } from './spec.ts';

/** Each pass is looked at as it begins, where they are not this short. */
const leastProgressMs = 50;

export interface CopyingOptions {
  readonly spec: MigrationSpec;
  readonly vm: VmDefinition | undefined;
  readonly names: ConstructorParameters<typeof CopyLimits>[1];
  readonly monitor: Monitor;
  readonly session: Session;
  /** For sockets; made where it is missing. */
  readonly directory: string;
  readonly log: Logger;
  readonly show: (progress: MigrationProgress) => void;
  /** A disk could not be copied. */
  readonly failed: (failure: Failure) => void;
}

export class Copying {
  /** Those that go with the VM. */
  readonly disks: DisksOut | undefined;
  readonly postcopy: PostcopyCopy | undefined;
  readonly limits: CopyLimits;
  readonly meter: ProgressMeter;
  readonly #options: CopyingOptions;
  #lookedAt = 0;

  constructor(options: CopyingOptions) {
    const { spec, vm, names, monitor, session, directory, log, failed } = options;
    this.#options = options;
    this.limits = new CopyLimits(spec.limits, names, log);
    this.meter = new ProgressMeter(session, this.limits);
    const disks = copiedDisks(spec);
    const parts = { monitor, session, directory, log, failed, bandwidthBytesPerSecond: spec.limits.bandwidthBytesPerSecond };
    const words = (index: number) => diskOf(vm, index);
    this.disks = disks.length === 0 ? undefined : new DisksOut({ ...parts, disks, words });
    this.postcopy = spec.limits.postcopy ? new PostcopyCopy(monitor, log) : undefined;
  }

  /** @throws where QEMU does not take it */
  async change(change: LimitsChange): Promise<void> {
    await this.limits.change(change);
    if (change.bandwidthBytesPerSecond !== undefined) await this.disks?.limit(change.bandwidthBytesPerSecond);
  }

  /** Resolves when every disk that goes with the VM is mirrored. The directory is there at once. */
  async begin(): Promise<void> {
    mkdirSync(this.#options.directory, { recursive: true, mode: 0o700 });
    await this.disks?.mirror();
  }

  /** Makes all ready for {@link sendMemory}. */
  async openMemory(): Promise<void> {
    const { monitor, session, spec } = this.#options;
    await session.listenLocal(this.#socket);
    await this.limits.apply(monitor, multifdChannels(spec));
  }

  async sendMemory(): Promise<void> {
    await startOutgoing(this.#options.monitor, this.#socket);
  }

  /** What went in all. Resolves when QEMU's streams have ended and every disk's is with its channel. */
  async sent(): Promise<Sent> {
    const totals = await this.#options.session.localEnded;
    return { totals, ...(this.disks && { diskWrites: await this.disks.writes() }) };
  }

  /**
   * @param phase as it is once QEMU has answered; undefined where nothing is copied any more
   * @returns why it is to be given up
   */
  async look(phase: () => MigrationPhase | undefined): Promise<Failure | undefined> {
    const { monitor, log, show } = this.#options;
    const now = performance.now();
    if (now - this.#lookedAt < leastProgressMs) return undefined;
    this.#lookedAt = now;
    const [state, ofDisks] = await Promise.all([asked(() => queryMigration(monitor)), this.disks?.progress()]);
    const at = phase();
    if (!at || !state) return undefined;
    const progress = this.meter.sample(at, state, ofDisks);
    show(progress);
    if (at !== 'copying' || state.status === 'none' || (await this.postcopy?.look(state))) return undefined;
    return this.limits.look(state, progress).catch((error: unknown) => {
      log.warn({ err: error }, 'QEMU did not take the new switch-over budget');
      return undefined;
    });
  }

  get #socket(): string {
    return path.join(this.#options.directory, 'out');
  }
}
