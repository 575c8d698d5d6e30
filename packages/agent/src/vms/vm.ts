/** One VM of this host: its definition, its QEMU if there is one, and whether a migration has its hand on it. */
import { type AgentVm, isPoolDisk, SealiftError, type VmDefinition, type VmState } from '@sealift/contract';
import type { Monitor, ProcessId } from '@sealift/hypervisor';
import type { VmRecord } from './definitions.ts';
import type { QemuLink } from './link.ts';
import { MiB } from './memory.ts';
import type { VmPaths } from './paths.ts';
import { Turns } from './turns.ts';

/** A migration's hold on a VM. While there is one, this host does nothing to the VM by itself. */
export type Moving = 'moving-out' | 'moving-in' | 'in-doubt';

/** QEMU's own memory beside the guest's: code, tables, buffers. Measured at 40–90 MiB resident for small guests. */
const overheadBytes = 96 * MiB;

export class Vm {
  readonly paths: VmPaths;
  /** Whatever changes the VM takes its turn. For VmHost. */
  readonly turns = new Turns();
  readonly #released: () => void;
  #record: VmRecord;
  #link: QemuLink | undefined;
  #moving: { readonly how: Moving; readonly migration: string | undefined } | undefined;
  #reserved = false;
  /** Its QEMU went unasked, in these words; what it said itself, and the record of it, are still to come. */
  #crashing: string | undefined;
  #orders = 0;

  /** @param released called when a migration lets go of the VM */
  constructor(record: VmRecord, paths: VmPaths, released: (vm: Vm) => void) {
    this.#record = record;
    this.paths = paths;
    this.#released = () => released(this);
    if (record.incoming !== undefined) this.#moving = { how: 'moving-in', migration: record.incoming };
  }

  get name(): string {
    return this.#record.definition.name;
  }

  get definition(): VmDefinition {
    return this.#record.definition;
  }

  /** The migration that it was made for and that has not brought it here yet. */
  get incoming(): string | undefined {
    return this.#record.incoming;
  }

  get moving(): Moving | undefined {
    return this.#moving?.how;
  }

  /** The migration that {@link moving} is about, where its code named it. */
  get migration(): string | undefined {
    return this.#moving?.migration;
  }

  /** undefined where there is no QEMU. */
  get process(): ProcessId | undefined {
    return this.#link?.process;
  }

  get pid(): number | undefined {
    return this.#link?.process.pid;
  }

  /** Why it is not running though nobody stopped it. */
  get crashed(): string | undefined {
    return this.#record.crashed ?? this.#crashing;
  }

  /** @throws SealiftError `wrong_state` where there is no QEMU, `hypervisor` where it does not answer */
  get monitor(): Monitor {
    if (!this.#link) throw new SealiftError('wrong_state', `${this.name} is ${this.state}: it has no QEMU`);
    const { monitor } = this.#link;
    if (!monitor)
      throw new SealiftError('hypervisor', `${this.name}'s QEMU (process ${this.pid}) does not answer; see ${this.paths.qemuLog}`);
    return monitor;
  }

  /** Resolves when the present QEMU has been seen gone, at once where there is none. */
  get exited(): Promise<void> {
    return this.#link?.exited ?? Promise.resolve();
  }

  get state(): VmState {
    if (this.#moving) return this.#moving.how;
    if (!this.#link) return this.crashed === undefined ? 'stopped' : 'crashed';
    switch (this.#link.runState) {
      case undefined:
        return 'unknown';
      case 'running':
        return 'running';
      case 'shutdown':
        return 'stopped'; // the guest has powered off; its QEMU is about to go
      default:
        return 'paused';
    }
  }

  /** Disks in pools that only this host has. */
  get hasOwnDisks(): boolean {
    return this.definition.disks.some((disk) => isPoolDisk(disk) && !disk.shared);
  }

  /** Bytes that it may take of the host's memory. */
  get memoryBytes(): number {
    return this.definition.memoryMiB * MiB + overheadBytes;
  }

  /** Does it take, or is it about to take, memory of the host? */
  get reserved(): boolean {
    return this.#reserved || this.#link !== undefined;
  }

  /**
   * A migration takes hold of the VM, changes its hold, or lets go. Afterwards a QEMU that went meanwhile counts as crashed, and a guest that powered off as stopped.
   * @throws SealiftError `wrong_state` while an order for the VM is being carried out
   */
  setMoving(moving: Moving | undefined, migration?: string): void {
    if (moving !== undefined && !this.#moving && this.#orders > 0) {
      throw new SealiftError('wrong_state', `${this.name} is being started, stopped, changed or removed; try again when that is done`);
    }
    const before = this.#moving;
    this.#moving = moving && { how: moving, migration: migration ?? before?.migration };
    if (before && !moving) this.#released();
  }

  /** A migration lets go. Resolves when what became of the VM meanwhile has been seen to, so that {@link state} says it. */
  async letGo(): Promise<void> {
    this.setMoving(undefined);
    await this.turns.take(async () => {});
  }

  /** @throws SealiftError `migrating` while a migration has its hand on it */
  requireSettled(): void {
    if (!this.#moving) return;
    const { how, migration } = this.#moving;
    const id = migration ?? 'ID';
    const settle = `it is settled as soon as both hosts can speak to each other; where one is gone for good: sealift migration resolve ${id}`;
    const wait = `wait for the migration to end, or cancel it: sealift migration cancel ${id}`;
    const words = {
      'moving-out': `is moving to another host; ${wait}`,
      'moving-in': `is moving here; ${wait}`,
      'in-doubt': `is in doubt after a migration: paused here, and whether it runs at the other host is not known; ${settle}`,
    }[how];
    throw new SealiftError('migrating', `${this.name} ${words}`, migration === undefined ? {} : { details: { migration } });
  }

  report(): AgentVm {
    const startedAt = this.#link?.startedAt;
    return {
      definition: this.definition,
      state: this.state,
      ...(this.pid !== undefined && { pid: this.pid }),
      ...(startedAt !== undefined && { startedAt }),
      log: this.paths.serialLog,
      ...(this.migration !== undefined && { migration: this.migration }),
    };
  }

  // What follows is VmHost's to call: it keeps disk, processes and this object in step.

  /** Takes a turn for somebody's order: until it is done, no migration takes hold of the VM. */
  async order<T>(action: () => Promise<T>): Promise<T> {
    this.#orders += 1;
    try {
      return await this.turns.take(action);
    } finally {
      this.#orders -= 1;
    }
  }

  get record(): VmRecord {
    return this.#record;
  }

  set record(record: VmRecord) {
    this.#record = record;
  }

  get link(): QemuLink | undefined {
    return this.#link;
  }

  set link(link: QemuLink | undefined) {
    this.#link = link;
  }

  set crashing(words: string | undefined) {
    this.#crashing = words;
  }

  set reservation(reserved: boolean) {
    this.#reserved = reserved;
  }
}
