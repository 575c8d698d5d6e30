/** The demo, step by step. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrationOrder } from '@sealift/contract';
import { MarkerSet } from '../capture/markers.ts';
import type { CheckerResult } from '../guest/checker.ts';
import { type GuestImage, guestImage } from '../guest/image.ts';
import { type ManagerClient, managerClient } from '../lab/api.ts';
import { bringUp, type Lab } from '../lab/lifecycle.ts';
import { guestDefinition, guestHost, guestName } from '../lab/vm.ts';
import { Workload } from '../workload/client.ts';
import { judge } from './judge.ts';
import { checkerMiB, connections, markerCount, writesPerSecond } from './load-size.ts';
import { machineOf } from './machine.ts';
import { observeMigration } from './observe.ts';
import type { DemoMigration, DemoResult } from './result.ts';

export interface StoryOptions {
  readonly memoryMiB: number;
  /** Keep the captures. */
  readonly keep: boolean;
  /** Ends what is going on. */
  readonly signal: AbortSignal;
}

/** Is told what is going on now. */
export type Progress = (text: string) => void;

export interface Step {
  readonly title: string;
  /** @returns what it came to, in a few words */
  readonly run: (progress: Progress) => Promise<string>;
}

/** Under emulation, on a busy machine, it takes some times the usual five seconds. */
const bootWithinMs = 120_000;

/** To be disposed of before its lab is taken down. */
export class Story implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #options: StoryOptions;
  readonly #manager: ManagerClient;
  readonly #markers = new MarkerSet(markerCount);
  readonly #migrations: DemoMigration[] = [];
  #image: GuestImage | undefined;
  #workload: Workload | undefined;
  #result: DemoResult | undefined;

  readonly steps: readonly Step[] = [
    { title: 'Prepare the guest image', run: (progress) => this.#prepare(progress) },
    { title: 'Bring up the hosts alpha and bravo, and their manager', run: () => this.#bringUp() },
    { title: 'Boot a Linux guest with Redis on alpha', run: () => this.#boot() },
    { title: 'Plant markers in its memory, and start to write', run: () => this.#load() },
    this.#migration('Move it live to bravo, sealed', { to: 'bravo' }),
    this.#migration('Move it live back to alpha, sealed', { to: 'alpha' }),
    this.#migration('Move it live to bravo, clear: shows that the capture can see', { to: 'bravo', clear: true }),
    { title: 'Read everything back', run: (progress) => this.#verify(progress) },
  ];

  constructor(lab: Lab, options: StoryOptions) {
    this.#lab = lab;
    this.#options = options;
    this.#manager = managerClient(lab.paths.managerSocket);
  }

  /** There once every step has run. */
  get result(): DemoResult {
    if (this.#result === undefined) throw new Error('the demo has not come to its end');
    return this.#result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workload?.stop();
    await this.#manager[Symbol.asyncDispose]();
  }

  async #prepare(progress: Progress): Promise<string> {
    this.#image = await guestImage(progress);
    return '';
  }

  async #bringUp(): Promise<string> {
    await bringUp(this.#lab, this.#options.signal);
    return 'each in a network namespace';
  }

  async #boot(): Promise<string> {
    const { memoryMiB, signal } = this.#options;
    if (this.#image === undefined) throw new Error('there is no guest image yet');
    const started = performance.now();
    await this.#manager.createVm({ body: { host: 'alpha', definition: guestDefinition(this.#image, { memoryMiB, checkerMiB }) } }, signal);
    await this.#manager.startVm({ params: { vm: guestName } }, signal);
    this.#workload = new Workload({ namespace: this.#lab.plan.client.namespace, host: guestHost, connections, writesPerSecond });
    for (;;) {
      // There is an answer as soon as Redis takes connections.
      const problem = await this.#workload.checker().then(() => undefined, String);
      if (problem === undefined) break;
      if (performance.now() - started > bootWithinMs) throw new Error(`the guest does not answer at ${guestHost}: ${problem}`);
      await sleep(100, undefined, { signal });
    }
    return `${memoryMiB} MiB, up in ${((performance.now() - started) / 1000).toFixed(1)} s`;
  }

  async #load(): Promise<string> {
    const workload = this.#running();
    await workload.plant(this.#markers.texts);
    await workload.start();
    await this.#passes(1);
    return `${markerCount} markers; ${writesPerSecond} writes a second over ${connections} connections`;
  }

  #migration(title: string, order: MigrationOrder): Step {
    const run = async (progress: Progress): Promise<string> => {
      const migration = await observeMigration(order, {
        lab: this.#lab,
        manager: this.#manager,
        workload: this.#running(),
        markers: this.#markers,
        keepCapture: this.#options.keep,
        signal: this.#options.signal,
        progress,
      });
      this.#migrations.push(migration);
      const { migrationMs, guestGapMs, markersSeen } = migration;
      const gap = `longest gap for the client ${guestGapMs.toFixed(0)} ms`;
      return `${(migrationMs / 1000).toFixed(1)} s; ${gap}; ${markersSeen} of ${markerCount} markers readable on the wire`;
    };
    return { title, run };
  }

  async #verify(progress: Progress): Promise<string> {
    progress('two more passes of the memory checker');
    const memoryChecker = await this.#passes(2);
    progress('every slot');
    const load = await this.#running().finish();
    const problems = judge(this.#migrations, load, memoryChecker);
    const machine = machineOf(await this.#manager.getHost({ params: { host: 'alpha' } }), this.#options.memoryMiB);
    this.#result = { ok: problems.length === 0, problems, machine, migrations: this.#migrations, memoryChecker };
    return `${load.acknowledgedWrites} acknowledged writes, ${load.lostWrites} lost`;
  }

  /** Waits until the checker has been over all its memory so many times from now on; one pass is already going on. */
  async #passes(count: number): Promise<CheckerResult> {
    const { signal } = this.#options;
    let first: CheckerResult | undefined;
    for (;;) {
      const now = await this.#running().checker();
      first ??= now;
      if (now !== undefined && first !== undefined && now.passes > first.passes + count - 1) return now;
      await sleep(100, undefined, { signal });
    }
  }

  #running(): Workload {
    if (this.#workload === undefined) throw new Error('the guest has not been booted');
    return this.#workload;
  }
}
