/** Two QEMUs with the same disks, and what mirrors them from one to the other: without a migration, a transport or agents. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  commandLine,
  diskNode,
  exportDisks,
  finishMirror,
  killQemu,
  launchQemu,
  type MirrorEvent,
  type Monitor,
  onMirrorEvent,
  type RunningQemu,
  startMirror,
  type VmDefinition,
} from '@sealift/hypervisor';
import { pathsIn } from '@sealift/hypervisor/testing';
import { MirrorInlet, MirrorOutlet } from '../mirror/index.ts';

export interface MirroredOptions {
  readonly sizeMiB: number;
  readonly format: 'raw' | 'qcow2';
  /** Where the destination's disk is made; by default beside the source's. */
  readonly destination?: string;
}

export class Mirrored implements AsyncDisposable {
  readonly directory: string;
  readonly source: string;
  readonly destination: string;
  readonly failures: string[] = [];
  readonly events: MirrorEvent[] = [];
  readonly #options: MirroredOptions;
  readonly #running: RunningQemu[] = [];
  #inlet: MirrorInlet | undefined;
  #outlet: MirrorOutlet | undefined;
  #stop: (() => void) | undefined;
  #wake = Promise.withResolvers<void>();

  private constructor(directory: string, options: MirroredOptions) {
    this.directory = directory;
    this.#options = options;
    this.source = join(directory, `source.${options.format}`);
    this.destination = join(options.destination ?? directory, `destination.${options.format}`);
  }

  /** Both run, paused, with empty disks. */
  static async start(options: MirroredOptions): Promise<Mirrored> {
    const mirrored = new Mirrored(await mkdtemp(join(tmpdir(), 'sl-mirror-')), options);
    try {
      for (const [role, file] of [
        ['s', mirrored.source],
        ['d', mirrored.destination],
      ] as const)
        await mirrored.#launch(role, file);
      return mirrored;
    } catch (error) {
      await mirrored[Symbol.asyncDispose]();
      throw error;
    }
  }

  get inlet(): MirrorInlet {
    if (!this.#inlet) throw new Error('not begun');
    return this.#inlet;
  }

  get outlet(): MirrorOutlet {
    if (!this.#outlet) throw new Error('not begun');
    return this.#outlet;
  }

  get sourceMonitor(): Monitor {
    return this.#monitor(0);
  }

  /** What a guest would do to its disk. @param words such as `write -P 7 64k 4k` */
  async guest(words: string): Promise<void> {
    const line = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "${words}"`;
    const said = await this.sourceMonitor.execute('human-monitor-command', { 'command-line': line });
    if (!/ops/.test(said) && said.trim() !== '') throw new Error(`${words}: ${said}`);
  }

  /** @param between where the inlet's stream goes in place of to the outlet */
  async begin(between?: string): Promise<void> {
    const { sizeMiB } = this.#options;
    const at = (name: string): string => join(this.directory, name);
    const failed = (error: Error): void => {
      this.failures.push(error.message);
      this.#woken();
    };
    const disk = { exportName: diskNode(0), sizeBytes: sizeMiB * 2 ** 20, failed };
    await exportDisks(this.#monitor(1), at('nbd'), [0]);
    this.#outlet = new MirrorOutlet({ ...disk, listenPath: at('in'), nbdPath: at('nbd') });
    await this.#outlet.listening;
    this.#inlet = new MirrorInlet({ ...disk, listenPath: at('mirror'), outPath: between ?? at('in') });
    await this.#inlet.listening;
    this.#stop = onMirrorEvent(this.sourceMonitor, (event) => {
      this.events.push(event);
      this.#woken();
    });
    await startMirror(this.sourceMonitor, 0, disk.sizeBytes, 0, at('mirror'));
  }

  /** Resolves when that was said of the mirror. */
  async until(type: MirrorEvent['type'] | 'failed'): Promise<void> {
    while (type === 'failed' ? this.failures.length === 0 : !this.events.some((event) => event.type === type)) await this.#wake.promise;
  }

  /** Ends the mirror as a switch-over does, and everything is done at the other end. @returns writes sent and done */
  async end(): Promise<{ sent: number; done: number }> {
    await finishMirror(this.sourceMonitor, 0);
    await this.until('ended');
    const [sent, done] = await Promise.all([this.inlet.finish(), this.outlet.applied]);
    return { sent: sent.writes, done: done.writes };
  }

  /** Ends both QEMUs, so that their disks can be looked at. */
  async quit(): Promise<void> {
    this.#stop?.();
    this.#inlet?.close();
    this.#outlet?.close();
    for (const { monitor, process } of this.#running.splice(0)) {
      await monitor.execute('quit').catch(() => undefined);
      monitor.close();
      await killQemu(process);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.quit();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #launch(role: string, path: string): Promise<void> {
    const { format, sizeMiB } = this.#options;
    execFileSync('qemu-img', ['create', '-q', '-f', format, path, `${sizeMiB}M`]);
    const paths = pathsIn(this.directory);
    const own = { ...paths, qmpSocket: `${paths.qmpSocket}.${role}`, spareQmpSocket: `${paths.spareQmpSocket}.${role}` };
    const files = {
      ...own,
      serialSocket: `${paths.serialSocket}.${role}`,
      serialLog: `${paths.serialLog}.${role}`,
      pidfile: `${paths.pidfile}.${role}`,
    };
    const vm: VmDefinition = {
      name: 'mirrored',
      memoryMiB: 32,
      vcpus: 1,
      cpuModel: 'qemu64',
      machine: 'pc-q35-7.2',
      disks: [{ path, format, shared: false }],
      nics: [],
    };
    const argv = commandLine(vm, files, { accel: 'tcg', incoming: role === 'd', paused: true, tapNames: [] });
    const logFile = join(this.directory, `qemu.log.${role}`);
    this.#running.push(await launchQemu({ binary: 'qemu-system-x86_64', argv, logFile, qmpSocket: files.qmpSocket }));
  }

  #monitor(index: number): Monitor {
    const running = this.#running[index];
    if (!running) throw new Error('it has ended');
    return running.monitor;
  }

  #woken(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
