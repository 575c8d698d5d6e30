/**
 * The source's side of disks that move with their VM. QEMU mirrors each to an {@link MirrorInlet} of this agent, which hands what is written on to
 * the disk's channel. Before memory is sent, every mirror has to be ready; when the VM stands still, each is told to send what is on its way and
 * end, which needs nobody at the other host; what was sent is then part of the grant. The guest keeps its disks all the while.
 */
import path from 'node:path';
import type { CopiedDisk, DiskProgress } from '@sealift/contract';
import {
  clearMirrors,
  diskNode,
  diskSize,
  finishMirror,
  limitMirror,
  type Monitor,
  onMirrorEvent,
  queryMirrors,
  startMirror,
} from '@sealift/hypervisor';
import type { Session } from '@sealift/transport';
import type { Logger } from 'pino';
import type { Failure } from '../handover/records.ts';
import { MirrorInlet } from '../mirror/index.ts';
import { asked, failureOf } from './side.ts';

/** A mirror that takes nothing for this long although it waits is given up: it would hold up the guest, and QEMU's monitor. */
const stalledMs = 20_000;
const lookMs = 1_000;

export interface MovingDisks {
  readonly monitor: Monitor;
  readonly session: Session;
  readonly disks: readonly CopiedDisk[];
  /** Of all disks together; 0 is without limit. */
  readonly bandwidthBytesPerSecond: number;
  /** For sockets. */
  readonly directory: string;
  /** For messages: of the definition's disk with this index. */
  readonly words: (index: number) => string;
  readonly log: Logger;
  /** Called once; the mirrors stay to be stopped. */
  readonly failed: (failure: Failure) => void;
}

interface Mirror extends CopiedDisk {
  readonly inlet: MirrorInlet;
  readonly ready: PromiseWithResolvers<void>;
  /** Of QEMU's job: with its error, where it had one. */
  readonly ended: PromiseWithResolvers<string | undefined>;
  /** How many writes went, once all of them are with the channel. */
  readonly sent: PromiseWithResolvers<number>;
}

export class DisksOut {
  readonly #options: MovingDisks;
  #mirrors: readonly Mirror[] = [];
  #starting: Promise<void> = Promise.resolve();
  #stopListening: (() => void) | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #finishing = false;
  #bandwidth: number;
  #over = false;

  constructor(options: MovingDisks) {
    this.#options = options;
    this.#bandwidth = options.bandwidthBytesPerSecond;
  }

  /** Resolves when every disk is mirrored, and never where that fails or is stopped. */
  async mirror(): Promise<void> {
    this.#starting = this.#start().catch((error: unknown) => this.#fail(failureOf(error, 'hypervisor').message));
    await this.#starting;
    await Promise.all(this.#mirrors.map(({ ready }) => ready.promise));
    if (this.#over) await new Promise(() => undefined);
  }

  /** The VM stands still. Resolves when every mirror has sent all that it had and ended. @throws Error where one has not */
  async finish(): Promise<void> {
    this.#finishing = true;
    const { monitor } = this.#options;
    await Promise.all(
      this.#mirrors.map(async ({ index, inlet, ended, sent }) => {
        // The VM waits.
        if (this.#bandwidth > 0) await asked(() => limitMirror(monitor, index, 0));
        await finishMirror(monitor, index);
        const error = await ended.promise;
        if (error !== undefined) throw new Error(this.#sentence(index, error));
        // The end of its stream goes with the channel at once; whoever grants waits until it has.
        inlet.finish().then(({ writes }) => sent.resolve(writes), sent.reject);
      }),
    );
  }

  /** After {@link finish}: of each disk, how many writes were sent. Resolves when all of them are with the channels. */
  async writes(): Promise<number[]> {
    return Promise.all(this.#mirrors.map(({ sent }) => sent.promise));
  }

  /** At any time. @param bytesPerSecond of all together; 0 is without limit */
  async limit(bytesPerSecond: number): Promise<void> {
    this.#bandwidth = bytesPerSecond;
    // One that has not begun, or has ended, refuses.
    for (const { index } of this.#mirrors) await asked(() => limitMirror(this.#options.monitor, index, this.#share));
  }

  /** Of a disk: each has the same. */
  get #share(): number {
    return this.#bandwidth === 0 ? 0 : Math.max(1, Math.floor(this.#bandwidth / this.#options.disks.length));
  }

  async progress(): Promise<DiskProgress[]> {
    const states = (await asked(() => queryMirrors(this.#options.monitor))) ?? [];
    return this.#mirrors.map(({ index, sizeBytes, inlet }) => {
      const state = states.find((each) => each.index === index);
      const sent = inlet.done.bytes;
      return {
        disk: this.#options.words(index),
        sizeBytes,
        sentBytes: sent,
        remainingBytes: state ? Math.max(0, state.total - state.copied) : 0,
      };
    });
  }

  /** Lets go of all that this agent has of them; QEMU's mirrors fail, where they still run. Idempotent. */
  close(): void {
    this.#over = true;
    clearInterval(this.#watchdog);
    for (const { inlet } of this.#mirrors) inlet.close();
    this.#stopListening?.();
  }

  /** Ends every mirror, whatever it is at. Idempotent. @returns when the guest's disks are nobody's but its own; rejects where QEMU is gone */
  async stop(): Promise<void> {
    // First of all: QEMU cannot end a job that waits for an answer.
    this.close();
    await this.#starting;
    this.close();
    await clearMirrors(this.#options.monitor);
  }

  async #start(): Promise<void> {
    if (this.#over) return;
    const { monitor, session, disks, directory } = this.#options;
    for (const disk of disks) {
      const size = await diskSize(monitor, disk.index);
      if (size === disk.sizeBytes) continue;
      const figures = `${disk.sizeBytes} bytes when the migration was ordered and ${size} now`;
      throw new Error(`${this.#options.words(disk.index)} had ${figures}: order it again`);
    }
    this.#stopListening = onMirrorEvent(monitor, (event) => {
      const mirror = this.#mirrors.find(({ index }) => index === event.index);
      if (event.type === 'ready') mirror?.ready.resolve();
      else this.#ended(mirror, event.error);
    });
    if (this.#over) return;
    this.#mirrors = disks.map((disk, i) => ({
      ...disk,
      inlet: new MirrorInlet({
        listenPath: path.join(directory, `${i}.nbd`),
        outPath: path.join(directory, `${i}.out`),
        exportName: diskNode(disk.index),
        sizeBytes: disk.sizeBytes,
        failed: (error) => this.#fail(this.#sentence(disk.index, error.message)),
      }),
      ready: Promise.withResolvers<void>(),
      ended: Promise.withResolvers<string | undefined>(),
      sent: Promise.withResolvers<number>(),
    }));
    for (const { sent } of this.#mirrors) sent.promise.catch(() => undefined); // where nobody gets so far as to ask
    for (const [i, { index, sizeBytes, inlet }] of this.#mirrors.entries()) {
      await session.listenDisk(i, path.join(directory, `${i}.out`));
      await inlet.listening;
      if (this.#over) return;
      await startMirror(monitor, index, sizeBytes, this.#share, path.join(directory, `${i}.nbd`));
    }
    this.#watchdog = setInterval(() => this.#watch(), lookMs);
  }

  #ended(mirror: Mirror | undefined, error: string | undefined): void {
    mirror?.ended.resolve(error);
    if (mirror && (error !== undefined || !this.#finishing))
      this.#fail(this.#sentence(mirror.index, error ?? 'its mirror ended by itself'));
  }

  #watch(): void {
    for (const { index, inlet } of this.#mirrors) {
      if (inlet.waitingMs < stalledMs) continue;
      inlet.close();
      this.#fail(this.#sentence(index, `nothing of it could be sent for ${stalledMs / 1000} s`));
    }
  }

  #sentence(index: number, why: string): string {
    return `${this.#options.words(index)} could not be copied: ${why}`;
  }

  #fail(message: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.failed({ code: 'hypervisor', message: `${message}; the VM runs on at the source` });
  }
}
