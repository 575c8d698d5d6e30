/** The VMs of this host: what may be ordered of them, and what migrations need. */
import type { Socket } from 'node:net';
import { isPoolDisk, SealiftError, type VmDefinition, type VmRemoval } from '@sealift/contract';
import { checkSocketPath, findQemu } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import { type Copy, Disks } from '../disks/disks.ts';
import { Pools } from '../disks/pools.ts';
import { Undo } from '../undo.ts';
import { Consoles } from './consoles.ts';
import { clearUp } from './crash.ts';
import { loadRecords, removeRecord, saveRecord, type VmRecord } from './definitions.ts';
import { QemuLink } from './link.ts';
import { HostMemory, type MemoryFacts } from './memory.ts';
import { changeDefinition, resetVm, resumeVm, suspendVm } from './orders.ts';
import { vmPaths } from './paths.ts';
import { askToPowerOff, lastWords, type PowerContext, powerOff, powerOn, type QemuSetup, runFirst } from './power.ts';
import { requireBrought, requireSound, requireUnshared } from './sound.ts';
import { Turns } from './turns.ts';
import { Vm } from './vm.ts';

export interface VmHostOptions {
  readonly state: string;
  readonly run: string;
  readonly qemu: QemuSetup;
  /** For all VMs together; undefined: what Linux says is available. */
  readonly memoryMiB: number | undefined;
  /** How long a guest has to power off when asked. */
  readonly powerdownMs?: number;
  /** Missing: this host has no pool. */
  readonly pools?: Pools;
  readonly log: Logger;
}

const defaultPowerdownMs = 60_000;

export class VmHost {
  readonly disks: Disks;
  readonly #options: VmHostOptions;
  readonly #log: Logger;
  readonly #vms = new Map<string, Vm>();
  readonly #memory: HostMemory;
  readonly #context: PowerContext;
  readonly #consoles = new Consoles();
  /** Polite stops that are under way or wait for their turn, each with what cuts it short. */
  readonly #stopping = new Map<AbortController, Vm>();
  #closed = false;

  private constructor(options: VmHostOptions) {
    this.#options = options;
    this.#log = options.log;
    this.disks = new Disks(options.pools ?? new Pools('this host', []));
    this.#memory = new HostMemory(options.memoryMiB, () =>
      this.list().flatMap((vm) => (vm.reserved ? [{ bytes: vm.memoryBytes, pid: vm.pid }] : [])),
    );
    this.#context = {
      qemu: options.qemu,
      memory: this.#memory,
      room: new Turns(),
      owner: options.run,
      disks: this.disks,
      log: options.log,
      poweredOff: (vm) => this.#settle(vm),
    };
  }

  /** Loads the definitions, takes hold of every QEMU that an earlier agent left running, and clears up after those that ended meanwhile. */
  static async open(options: VmHostOptions): Promise<VmHost> {
    const host = new VmHost(options);
    for (const record of await loadRecords(options.state)) host.#add(record);
    const own = host.list().filter((vm) => !vm.moving);
    const halves = await host.disks.pools.recover(
      own.map(({ name, definition }) => ({ name, disks: definition.disks.filter(isPoolDisk) })),
    );
    if (halves.length > 0) host.#log.warn({ files: halves }, 'removed disks and images that an earlier agent had half made');
    await Promise.all(host.list().map((vm) => host.#reattach(vm)));
    return host;
  }

  /** Lets go of every QEMU; they run on. */
  close(): void {
    this.#closed = true;
    this.disks.close();
    for (const stopping of this.#stopping.keys()) stopping.abort();
    for (const vm of this.#vms.values()) vm.link?.close();
  }

  list(): readonly Vm[] {
    return [...this.#vms.values()];
  }

  find(name: string): Vm | undefined {
    return this.#vms.get(name);
  }

  /** @throws SealiftError `not_found` */
  vm(name: string): Vm {
    const vm = this.#vms.get(name);
    if (!vm) throw new SealiftError('not_found', `this host has no VM ${name}`);
    return vm;
  }

  memory(): Promise<MemoryFacts> {
    return this.#memory.facts();
  }

  /** Whoever is to be started waits for `action` before it makes anything but its definition. Whoever is not in {@link list} then has not begun. */
  whileNobodyStarts<T>(action: () => Promise<T>): Promise<T> {
    return this.#context.room.take(action);
  }

  /** Makes the disks that it has in pools as well. @throws SealiftError `already_exists`, and as {@link Disks.change}; nothing of it is left then */
  async define(definition: VmDefinition): Promise<Vm> {
    requireSound(definition);
    const vm = this.#claim({ definition });
    return vm.order(async () => {
      try {
        await Undo.around(this.#log, (undo) =>
          this.disks.change(vm.name, [], definition.disks, undo, async () => {
            undo.push(`forget ${vm.name}`, () => removeRecord(vm.paths));
            await saveRecord(vm.paths, vm.record);
          }),
        );
        return vm;
      } catch (error) {
        this.#vms.delete(vm.name);
        throw error;
      }
    });
  }

  /** @throws SealiftError `wrong_state`, `migrating`, `no_room`; HypervisorError. Nothing is left of a start that failed */
  async start(name: string): Promise<Vm> {
    const vm = this.vm(name);
    await vm.order(async () => {
      this.#requireOurs(vm);
      if (vm.link) throw new SealiftError('wrong_state', `${name} is ${vm.state}: it cannot be started`);
      if (vm.record.leaving) throw new SealiftError('wrong_state', `${name} is half removed: remove it again`);
      if (vm.crashed !== undefined) {
        const { crashed: _, ...record } = vm.record;
        await saveRecord(vm.paths, record);
        vm.record = record;
      }
      await Undo.around(this.#log, async (undo) => {
        await powerOn(vm, { incoming: false, preallocate: false }, this.#context, undo);
        await runFirst(vm);
      });
      this.#watch(vm);
      this.#log.info({ vm: name, pid: vm.pid }, 'VM started');
    });
    return vm;
  }

  /**
   * @param force cut its power in place of asking the guest; also while an earlier stop still waits for the guest
   * @throws SealiftError `wrong_state`, `migrating`
   */
  async stop(name: string, force: boolean): Promise<Vm> {
    const vm = this.vm(name);
    const stopping = new AbortController();
    if (force) for (const [other, its] of this.#stopping) if (its === vm) other.abort();
    if (!force) this.#stopping.set(stopping, vm);
    const turn = vm.order(async () => {
      this.#requireOurs(vm);
      if (!vm.link) {
        if (force && vm.state === 'stopped') return; // an earlier stop got there first
        throw new SealiftError('wrong_state', `${name} is ${vm.state} already`);
      }
      if (!force && vm.state !== 'stopped') await this.#ask(vm, stopping.signal);
      await powerOff(vm, 'quit', this.#log);
      this.#log.info({ vm: name, force }, 'VM stopped');
    });
    await turn.finally(() => this.#stopping.delete(stopping));
    return vm;
  }

  /** See {@link changeDefinition}. */
  change(name: string, definition: VmDefinition): Promise<Vm> {
    requireSound(definition);
    return this.#order(name, (vm) => Undo.around(this.#log, (undo) => changeDefinition(vm, definition, this.disks, undo)));
  }

  /** See {@link resetVm}. */
  reset(name: string): Promise<Vm> {
    return this.#order(name, resetVm);
  }

  /** See {@link suspendVm}. */
  suspend(name: string): Promise<Vm> {
    return this.#order(name, suspendVm);
  }

  /** See {@link resumeVm}. */
  resume(name: string): Promise<Vm> {
    return this.#order(name, resumeVm);
  }

  /**
   * Forgets a VM that does not run, and removes the disks that it has in pools. What it has by a path stays.
   * @throws SealiftError `wrong_state`, `migrating`; `internal` where a disk cannot be removed: then it is not forgotten
   */
  async remove(name: string, keepDisks = false): Promise<VmRemoval> {
    const vm = this.vm(name);
    return vm.order(async () => {
      this.#requireOurs(vm);
      if (vm.link) throw new SealiftError('wrong_state', `${name} is ${vm.state}; stop it first`);
      // To be kept, disks need no pool; and an earlier order to remove them, which failed, is no longer wanted.
      const inPools = vm.definition.disks.filter((disk) => isPoolDisk(disk) && !(keepDisks && this.disks.pools.lacks(disk.pool)));
      const files = this.disks.files(name, inPools);
      const others = this.list().flatMap((other) => (other === vm ? [] : other.definition));
      if (!keepDisks) requireUnshared(name, files, others);
      const { disksToo: _, ...record } = vm.record;
      vm.record = keepDisks ? record : { ...record, disksToo: true };
      const removedDisks = await this.#forget(vm, 'quit');
      return files.length === 0 ? {} : keepDisks ? { keptDisks: files } : { removedDisks };
    });
  }

  /**
   * Makes a VM that a migration will bring: memory, taps and a QEMU that waits. It does not run, and is not this host's before {@link adoptIncoming}.
   * @throws SealiftError `already_exists`, `no_room`; HypervisorError. Nothing is left of one that failed
   */
  async prepareIncoming(
    definition: VmDefinition,
    options: { migration: string; copies?: readonly Copy[]; preallocate?: boolean; signal?: AbortSignal },
  ): Promise<Vm> {
    requireSound(definition);
    const { copies = [] } = options;
    requireBrought(definition, copies);
    const vm = this.#claim({ definition, incoming: options.migration });
    await vm.turns.take(() =>
      Undo.around(this.#log, async (undo) => {
        undo.push(`forget ${vm.name}`, async () => {
          this.#vms.delete(vm.name);
          await removeRecord(vm.paths);
        });
        await saveRecord(vm.paths, vm.record);
        if (copies.length > 0) {
          await this.disks.makeCopies(vm.name, copies, undo, async () => {
            vm.record = { ...vm.record, disksToo: 'own' };
            await saveRecord(vm.paths, vm.record);
          });
        }
        const { signal, preallocate = true } = options;
        await powerOn(vm, { incoming: true, preallocate, ...(signal && { signal }) }, this.#context, undo);
      }),
    );
    this.#watch(vm);
    return vm;
  }

  /** The migration has brought it and it runs: it is this host's from now on. Idempotent. @throws the system's error where the record cannot be saved; the VM runs on, call again */
  async adoptIncoming(vm: Vm): Promise<void> {
    await vm.turns.take(async () => {
      const { incoming: _, disksToo: __, ...record } = vm.record;
      await saveRecord(vm.paths, record);
      vm.record = record;
      await vm.link?.refresh();
    });
    vm.setMoving(undefined);
  }

  /** The migration did not happen here: its QEMU is killed and seen gone, and nothing of the VM stays. Idempotent. @throws HypervisorError `unkillable` */
  discard(vm: Vm): Promise<void> {
    return this.#leave(vm, 'kill');
  }

  /** The guest has powered off, perhaps in a moment when its QEMU stood still and could not show it: ends that QEMU. Idempotent. */
  async guestPoweredOff(vm: Vm): Promise<void> {
    await vm.turns.take(async () => {
      if (vm.moving || this.#vms.get(vm.name) !== vm || !vm.link) return;
      await powerOff(vm, 'quit', this.#log);
      this.#log.info({ vm: vm.name }, 'the guest powered off');
    });
  }

  /**
   * The VM runs at another host: nothing of it stays here.
   * @param ownDisks `remove` where they have gone with it; shared ones are never removed
   * @throws HypervisorError `unkillable`; Idempotent
   */
  async release(vm: Vm, ownDisks: 'keep' | 'remove'): Promise<void> {
    if (ownDisks === 'remove') vm.record = { ...vm.record, disksToo: 'own' };
    await this.#leave(vm, 'quit');
  }

  /** See {@link Consoles.open}. */
  console(name: string): Promise<Socket> {
    return this.#consoles.open(this.vm(name));
  }

  /** The name is taken from here on, or refused. @throws SealiftError `already_exists`; HypervisorError `definition` where its sockets' paths would be too long */
  #claim(record: VmRecord): Vm {
    const { name } = record.definition;
    const there = this.#vms.get(name);
    if (there) throw new SealiftError('already_exists', `this host has a VM ${name} already; it is ${there.state}`);
    checkSocketPath(vmPaths(this.#options.state, this.#options.run, name).spareQmpSocket); // the longest of them
    return this.#add(record);
  }

  #add(record: VmRecord): Vm {
    const paths = vmPaths(this.#options.state, this.#options.run, record.definition.name);
    const vm = new Vm(record, paths, (released) => this.#settle(released));
    this.#vms.set(vm.name, vm);
    return vm;
  }

  async #order(name: string, action: (vm: Vm) => Promise<void>): Promise<Vm> {
    const vm = this.vm(name);
    await vm.order(() => {
      this.#requireOurs(vm);
      return action(vm);
    });
    return vm;
  }

  /** An order may have waited for its turn while the VM went away, or a migration came. */
  #requireOurs(vm: Vm): void {
    if (this.#vms.get(vm.name) !== vm) throw new SealiftError('not_found', `this host has no VM ${vm.name} any more`);
    vm.requireSettled();
  }

  async #ask(vm: Vm, signal: AbortSignal): Promise<void> {
    if (vm.state !== 'running') {
      throw new SealiftError('wrong_state', `${vm.name} is ${vm.state}: its guest cannot be asked to power off; stop it with force`);
    }
    const waitMs = this.#options.powerdownMs ?? defaultPowerdownMs;
    const obeyed = await askToPowerOff(vm, waitMs, signal);
    if (this.#closed) throw new SealiftError('cancelled', `the agent stops; ${vm.name} was asked to power off and may do so yet`);
    if (!obeyed) this.#log.warn({ vm: vm.name, waitMs, cutShort: signal.aborted }, 'the guest did not power off; cutting its power');
  }

  async #reattach(vm: Vm): Promise<void> {
    if (vm.record.leaving) {
      // It stays, half removed, to be removed again: one disk that does not go must not keep the agent from the other VMs.
      return this.#leave(vm, 'kill').catch((error: unknown) =>
        this.#log.error({ err: error, vm: vm.name }, 'could not remove the rest of a VM'),
      );
    }
    const process = await findQemu(vm.paths.pidfile, vm.paths.qmpSocket);
    if (!process) {
      if (vm.moving) return; // for the migration's code to decide on
      return vm.turns.take(() => clearUp(vm, 'while no agent was there', this.#log));
    }
    vm.link = new QemuLink({ process }, { paths: vm.paths, log: this.#log, poweredOff: () => this.#settle(vm) });
    await vm.link.reach();
    this.#watch(vm);
    this.#log.info({ vm: vm.name, pid: process.pid, state: vm.state }, 'took hold of a QEMU that was running');
  }

  #watch(vm: Vm): void {
    void vm.link?.exited.then(() => this.#settle(vm));
  }

  /** Looks at a VM that nobody has a hand on: a QEMU that went by itself, or whose guest powered off, is cleared up after. */
  #settle(vm: Vm): void {
    vm.turns
      .take(async () => {
        if (this.#closed || vm.moving || this.#vms.get(vm.name) !== vm) return;
        if (!vm.link || vm.link.gone) await clearUp(vm, 'unexpectedly', this.#log);
        else {
          await vm.link.refresh();
          if (vm.link.runState !== 'shutdown' || vm.moving) return;
          await powerOff(vm, 'quit', this.#log);
          this.#log.info({ vm: vm.name }, 'the guest powered off');
        }
      })
      .catch((error: unknown) => this.#log.error({ err: error, vm: vm.name }, 'could not clear up after a VM'));
  }

  #leave(vm: Vm, how: 'quit' | 'kill'): Promise<void> {
    return vm.turns.take(async () => {
      if (this.#vms.get(vm.name) === vm) await this.#forget(vm, how);
    });
  }

  /**
   * Removes everything of a VM; its disks in pools where its record says so. The mark comes first, so that an agent that is killed half-way never
   * takes what is left for a VM to start.
   * @returns the disks that were removed
   */
  async #forget(vm: Vm, how: 'quit' | 'kill'): Promise<string[]> {
    vm.record = { ...vm.record, leaving: true };
    await saveRecord(vm.paths, vm.record).catch((error: unknown) => {
      this.#log.warn({ err: error, vm: vm.name }, 'could not mark the definition before its removal; removing it all the same');
    });
    await powerOff(vm, how, this.#log);
    const words = await lastWords(vm);
    const going = vm.definition.disks.filter(({ shared }) => vm.record.disksToo === true || (vm.record.disksToo === 'own' && !shared));
    const removed = await this.disks.remove(vm.name, going);
    await removeRecord(vm.paths);
    this.#vms.delete(vm.name);
    this.#log.info({ vm: vm.name, qemuSaid: words, ...(removed.length > 0 && { removed }) }, 'VM removed from this host');
    return removed;
  }
}
