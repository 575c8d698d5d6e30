/**
 * QEMUs that somebody else started, seen through a QMP socket of theirs and never touched. The conversation lasts for a few questions and is
 * given up again: QEMU serves one client a socket, and whoever started it may need that.
 */
import { type AgentVm, SealiftError, type VmState } from '@sealift/contract';
import {
  findQemuOfSocket,
  followsHost,
  type MachineShape,
  type ProcessId,
  QmpClient,
  queryObstacles,
  queryRunState,
  queryShape,
} from '@sealift/hypervisor';
import type { Logger } from 'pino';

/** As `--adopt NAME=SOCKET` says. */
export interface Adoption {
  readonly name: string;
  /** Absolute path of a QMP socket. */
  readonly socket: string;
}

const askMs = 2_000;

interface Seen {
  readonly state: VmState;
  readonly shape: MachineShape;
  readonly process: ProcessId | undefined;
  readonly obstacles: readonly string[];
}

/** Of every QEMU that sealift did not start. */
const always = [
  'sealift did not start its QEMU: it does not know the devices to make at a destination',
  'it has one QMP socket for sealift, which is not kept: a migration needs two that are',
];

class Adopted {
  readonly adoption: Adoption;
  readonly #log: Logger;
  #seen: Seen | undefined;
  #problem: string | undefined;

  constructor(adoption: Adoption, log: Logger) {
    this.adoption = adoption;
    this.#log = log;
  }

  /** undefined until it has answered once: before that nothing is known of it. */
  report(): AgentVm | undefined {
    if (!this.#seen) return undefined;
    const { state, shape, process, obstacles } = this.#seen;
    const { name } = this.adoption;
    return {
      // What the contract does not allow to be less is no less here, though a QEMU may have it.
      definition: { name, ...shape, memoryMiB: Math.max(32, shape.memoryMiB), disks: [], nics: [] },
      state: this.#problem === undefined ? state : 'unknown',
      ...(process && this.#problem === undefined && { pid: process.pid }),
      log: '',
      adopted: true,
      immovable: [
        ...always,
        ...(followsHost(shape.cpuModel) ? [`its CPU model, ${shape.cpuModel}, is whatever the host has`] : []),
        ...obstacles,
        ...(this.#problem === undefined ? [] : [`its QEMU does not answer: ${this.#problem}`]),
      ],
    };
  }

  async look(): Promise<void> {
    const { name, socket } = this.adoption;
    try {
      const options = { deadlineMs: askMs };
      const monitor = await QmpClient.connect(socket, options);
      try {
        const runState = await queryRunState(monitor, options);
        const shape = await queryShape(monitor, options);
        const obstacles = await queryObstacles(monitor, options);
        const state: VmState = runState === 'running' ? 'running' : runState === 'shutdown' ? 'stopped' : 'paused';
        this.#seen = { state, shape, obstacles, process: await findQemuOfSocket(socket) };
      } finally {
        monitor.close();
      }
      if (this.#problem !== undefined) this.#log.info({ vm: name, socket }, 'an adopted QEMU answers again');
      this.#problem = undefined;
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      if (this.#problem === undefined) this.#log.warn({ vm: name, socket, err: error }, 'an adopted QEMU does not answer');
      this.#problem = words;
    }
  }
}

export class AdoptedVms {
  readonly #all: ReadonlyMap<string, Adopted>;

  constructor(adoptions: readonly Adoption[], log: Logger) {
    this.#all = new Map(adoptions.map((adoption) => [adoption.name, new Adopted(adoption, log)]));
  }

  list(): AgentVm[] {
    return [...this.#all.values()].flatMap((adopted) => adopted.report() ?? []);
  }

  find(name: string): AgentVm | undefined {
    return this.#all.get(name)?.report();
  }

  /** The name is an adopted QEMU's, so no VM of this host may have it. @throws SealiftError `already_exists` */
  requireFree(name: string): void {
    if (this.#all.has(name)) {
      throw new SealiftError('already_exists', `${name} is a QEMU that this host's agent was told to adopt (--adopt); take another name`);
    }
  }

  /** @throws SealiftError `wrong_state` for a VM that is only looked at */
  requireOurs(name: string): void {
    const adopted = this.#all.get(name);
    if (!adopted) return;
    const state = adopted.report()?.state ?? 'unknown';
    throw new SealiftError(
      'wrong_state',
      `${name} is ${state} and adopted: sealift did not start its QEMU and only looks at it. Order it where it was started (QMP at ${adopted.adoption.socket})`,
    );
  }

  /** Never rejects. */
  async look(): Promise<void> {
    await Promise.all([...this.#all.values()].map((adopted) => adopted.look()));
  }
}
