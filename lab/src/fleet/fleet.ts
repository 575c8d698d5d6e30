/** A lab with several hosts and guests, each guest with a client outside that writes to it and checks what it was told. */
import { kill } from 'node:process';
import type { Migration, VmDefinition } from '@sealift/contract';
import type { Identity } from '../certificates.ts';
import { until } from '../chaos/until.ts';
import { guestImage } from '../guest/image.ts';
import { type ManagerClient, managerClient } from '../lab/api.ts';
import { startManager } from '../lab/daemons.ts';
import { bringUp, type Lab, takeDown } from '../lab/lifecycle.ts';
import { recordedProcesses, recordProcess } from '../lab/record.ts';
import { guestDefinition } from '../lab/vm.ts';
import { isAlive, type ProcessId } from '../system/process.ts';
import { guestAddress } from '../topology/plan.ts';
import { Workload } from '../workload/client.ts';
import type { LoadReport } from '../workload/protocol.ts';

const memoryMiB = 128;
const writesPerSecond = 50;
const silenceMs = 3_000;
const bootWithinMs = 240_000;

export interface FleetOptions {
  /** Where each guest is defined and booted. */
  readonly host: string;
  readonly guests: number;
  /** The encryption mode of the guest of an index. */
  readonly encryption: (index: number) => NonNullable<VmDefinition['encryption']>;
  /** Options for the agent of a host. */
  readonly agentOptions: (host: string) => readonly string[];
}

export class Fleet implements AsyncDisposable {
  readonly lab: Lab;
  readonly signal: AbortSignal;
  manager: ManagerClient;
  readonly guests: VmDefinition[] = [];
  readonly #workloads = new Map<string, Workload>();
  #identities: ReadonlyMap<string, Identity> = new Map();

  private constructor(lab: Lab, signal: AbortSignal) {
    this.lab = lab;
    this.signal = signal;
    this.manager = managerClient(lab.paths.managerSocket);
  }

  /** A lab of this id that is not there yet. What was made is taken down where it fails. */
  static async up(lab: Lab, options: FleetOptions, signal: AbortSignal, say: (message: string) => void): Promise<Fleet> {
    const fleet = new Fleet(lab, signal);
    try {
      const image = await guestImage(say);
      fleet.#identities = await bringUp(lab, signal, undefined, options.agentOptions);
      for (let index = 0; index < options.guests; index += 1) {
        const definition = { ...guestDefinition(image, { index, memoryMiB, checkerMiB: 4 }), encryption: options.encryption(index) };
        fleet.guests.push(definition);
        await fleet.manager.createVm({ body: { host: options.host, definition } }, signal);
      }
      // Two at a time: more only make each other slower under emulation.
      const booting = fleet.guests.entries();
      await Promise.all([fleet.#boot(booting), fleet.#boot(booting)]);
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const workload of this.#workloads.values()) await workload.stop();
    await this.manager[Symbol.asyncDispose]();
    await takeDown(this.lab);
  }

  /** What each guest's client was told, and has found. Ends the writing. */
  async finish(): Promise<ReadonlyMap<string, LoadReport>> {
    const reports = await Promise.all([...this.#workloads].map(async ([name, workload]) => [name, await workload.finish()] as const));
    return new Map(reports);
  }

  /** The manager is killed, and started again after `then`. */
  async killManager(then: () => Promise<void>): Promise<void> {
    const process = await this.#managerProcess();
    kill(process.pid, 'SIGKILL');
    await until(() => !isAlive(process), { withinMs: 10_000, signal: this.signal });
    await this.manager[Symbol.asyncDispose]();
    await then();
    await startManager(this.lab.plan, this.lab.paths, this.#identities, this.signal);
    this.manager = managerClient(this.lab.paths.managerSocket);
  }

  /** Every migration so far, oldest first. */
  async migrations(): Promise<Migration[]> {
    return (await this.manager.listMigrations({}, this.signal)).toReversed();
  }

  async #managerProcess(): Promise<ProcessId> {
    const found = (await recordedProcesses(this.lab.paths.processes)).findLast(({ name }) => name === 'manager');
    if (!found) throw new Error('the manager was never started');
    return found;
  }

  async #boot(guests: Iterable<[number, VmDefinition]>): Promise<void> {
    for (const [index, { name }] of guests) {
      await this.manager.startVm({ params: { vm: name } }, this.signal);
      const namespace = this.lab.plan.client.namespace;
      const host = guestAddress(index).replace(/\/.*/, '');
      const workload = new Workload({ namespace, host, connections: 1, writesPerSecond, silenceMs });
      this.#workloads.set(name, workload);
      if (workload.processId) await recordProcess(this.lab.paths.processes, { name: `client of ${name}`, ...workload.processId });
      const answers = async (): Promise<boolean> => (await workload.checker().catch(() => undefined)) !== undefined;
      if (!(await until(answers, { withinMs: bootWithinMs, everyMs: 200, signal: this.signal }))) {
        throw new Error(`guest ${name} does not answer at ${host}`);
      }
      await workload.start();
    }
  }
}
