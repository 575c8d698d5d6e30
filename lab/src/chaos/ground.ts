/** Where chaos happens: a lab that stays up for many runs, its VM, the client outside, and whoever watches. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Vm } from '@sealift/contract';
import type { Identity } from '../certificates.ts';
import { guestImage } from '../guest/image.ts';
import { type ManagerClient, managerClient } from '../lab/api.ts';
import { startAgent, startManager } from '../lab/daemons.ts';
import { type HostState, hostState } from '../lab/host-state.ts';
import { bringUp, type Lab, takeDown } from '../lab/lifecycle.ts';
import { recordedProcesses, recordProcess } from '../lab/record.ts';
import { guestDefinition, guestHost, guestName } from '../lab/vm.ts';
import { isAlive, type ProcessId, processId } from '../system/process.ts';
import { hostNames } from '../topology/plan.ts';
import { Workload } from '../workload/client.ts';
import { Line } from './line.ts';
import { QmpWatch } from './qmp-watch.ts';
import { until } from './until.ts';

const memoryMiB = 192;
const checkerMiB = 8;
export const connections = 2;
const writesPerSecond = 600;
const silenceMs = 1_500;
const bootWithinMs = 120_000;
const migrateWithinMs = 120_000;

export class Ground implements AsyncDisposable {
  readonly lab: Lab;
  readonly signal: AbortSignal;
  readonly manager: ManagerClient;
  readonly line: Line;
  readonly watches: ReadonlyMap<string, QmpWatch>;
  /** What each host has where the VM runs there, and where it does not: by `HOST with` and `HOST without`. */
  readonly references = new Map<string, HostState>();
  #identities: ReadonlyMap<string, Identity> = new Map();
  #workload: Workload | undefined;

  private constructor(lab: Lab, signal: AbortSignal) {
    this.lab = lab;
    this.signal = signal;
    this.manager = managerClient(lab.paths.managerSocket);
    this.line = new Line(lab.plan);
    this.watches = new Map(
      hostNames.map((host) => [host, new QmpWatch(host, join(lab.paths.agentRun(host), 'vms', guestName, 'qmp-spare.sock'))]),
    );
  }

  /** A lab of this id that is not there yet. What was made is taken down where it fails. */
  static async up(lab: Lab, signal: AbortSignal, say: (message: string) => void): Promise<Ground> {
    const ground = new Ground(lab, signal);
    try {
      for (const host of hostNames) await mkdir(ground.breakpoints(host), { recursive: true });
      const image = await guestImage(say);
      ground.#identities = await bringUp(lab, signal, ground.breakpoints);
      await ground.manager.createVm({ body: { host: 'alpha', definition: guestDefinition(image, { memoryMiB, checkerMiB }) } }, signal);
      await ground.boot();
      // There and back, so that what each host has then is known.
      for (const to of ['bravo', 'alpha'] as const) {
        await ground.#move(to);
        for (const host of hostNames) ground.references.set(`${host} ${host === to ? 'with' : 'without'}`, hostState(lab, host));
      }
      return ground;
    } catch (error) {
      await ground[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.watches.values()) watch[Symbol.dispose]();
    await this.#workload?.stop();
    await this.manager[Symbol.asyncDispose]();
    // A process that is stopped does not hear that it is to end.
    for (const id of await recordedProcesses(this.lab.paths.processes)) if (isAlive(id)) process.kill(id.pid, 'SIGCONT');
    await takeDown(this.lab);
  }

  readonly breakpoints = (host: string): string => join(this.lab.paths.run, 'breakpoints', host);

  get workload(): Workload {
    if (!this.#workload) throw new Error('the guest has not been booted');
    return this.#workload;
  }

  vm(): Promise<Vm> {
    return this.manager.getVm({ params: { vm: guestName } }, this.signal);
  }

  /** Powers the VM on, where it is, and lets the client write. */
  async boot(): Promise<void> {
    await this.#workload?.stop();
    await this.manager.startVm({ params: { vm: guestName } }, this.signal);
    const namespace = this.lab.plan.client.namespace;
    const workload = new Workload({ namespace, host: guestHost, connections, writesPerSecond, silenceMs });
    this.#workload = workload;
    if (workload.processId) await recordProcess(this.lab.paths.processes, { name: 'client', ...workload.processId });
    let problem: unknown = 'there is no memory checker';
    const answers = async (): Promise<boolean> => {
      try {
        return (await workload.checker()) !== undefined;
      } catch (error) {
        problem = error;
        return false;
      }
    };
    if (!(await until(answers, { withinMs: bootWithinMs, everyMs: 100, signal: this.signal }))) {
      throw new Error(`the guest does not answer at ${guestHost}: ${problem}`);
    }
    await workload.start();
  }

  /** What an administrator is told to do with a VM whose QEMU does not let go of a migration. */
  async powerCycle(): Promise<void> {
    await this.manager.stopVm({ params: { vm: guestName }, body: { force: true } }, this.signal);
    await this.boot();
  }

  /** The process of a daemon (`manager`, a host's name) that was started last. */
  async daemon(name: string): Promise<ProcessId> {
    const found = (await recordedProcesses(this.lab.paths.processes)).findLast((each) => each.name === name);
    if (!found) throw new Error(`${name} was never started`);
    return found;
  }

  /** The VM's QEMU at a host, by its pidfile; undefined where there is none. */
  async qemu(host: string): Promise<ProcessId | undefined> {
    const text = await readFile(join(this.lab.paths.agentRun(host), 'vms', guestName, 'pid'), 'utf8').catch(() => '');
    return processId(Number.parseInt(text, 10));
  }

  async restart(name: string): Promise<void> {
    const { plan, paths } = this.lab;
    if (name === 'manager') {
      await startManager(plan, paths, this.#identities, this.signal);
      return;
    }
    const host = plan.hosts.find((each) => each.name === name);
    if (!host) throw new Error(`there is no host ${name}`);
    await startAgent(host, paths, this.#identities, this.signal, this.breakpoints(name));
  }

  hold(host: string, stage: string): Promise<void> {
    return writeFile(join(this.breakpoints(host), stage), '');
  }

  /** @returns the migration that has come there */
  reached(host: string, stage: string): Promise<string | undefined> {
    return readFile(join(this.breakpoints(host), `${stage}.reached`), 'utf8').catch(() => undefined);
  }

  async letGo(): Promise<void> {
    for (const host of hostNames) {
      await rm(this.breakpoints(host), { recursive: true, force: true });
      await mkdir(this.breakpoints(host), { recursive: true });
    }
  }

  async #move(to: string): Promise<void> {
    const { id } = await this.manager.migrateVm({ params: { vm: guestName }, body: { to } }, this.signal);
    const ended = await until(
      async () => {
        const now = await this.manager.getMigration({ params: { migration: id } }, this.signal);
        return now.endedAt !== undefined && now;
      },
      { withinMs: migrateWithinMs, signal: this.signal },
    );
    if (ended?.phase !== 'completed') throw new Error(`the VM could not be moved undisturbed: ${JSON.stringify(ended)}`);
    await sleep(500, undefined, { signal: this.signal }); // for what is closed after the end
  }
}
