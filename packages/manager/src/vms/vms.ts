/** The VMs: which there are is the store's to say, how each is its host's. */
import type { Duplex } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { type AgentVm, SealiftError, type Vm, type VmDefinition } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Hosts } from '../agents/hosts.ts';
import type { AgentLink } from '../agents/link.ts';
import type { Store, StoredVm } from '../store/store.ts';
import { checkMachine, checkRoom } from './room.ts';

export class Vms {
  readonly #store: Store;
  readonly #hosts: Hosts;
  readonly #log: Logger;

  constructor(store: Store, hosts: Hosts, log: Logger) {
    this.#store = store;
    this.#hosts = hosts;
    this.#log = log;
  }

  async list(): Promise<Vm[]> {
    const [vms, unfinished] = await Promise.all([this.#store.listVms(), this.#store.unfinishedMigrations()]);
    const moving = new Map(unfinished.map(({ migration }) => [migration.vm, migration.id]));
    return Promise.all(vms.map((vm) => this.#view(vm, moving.get(vm.name))));
  }

  async get(name: string): Promise<Vm> {
    const [vm, moving] = await Promise.all([this.#find(name), this.#store.migrationOf(name)]);
    return this.#view(vm, moving?.migration.id);
  }

  /** @throws SealiftError not_found, agent_unreachable, no_room, incompatible, already_exists; nothing is changed then */
  async create(host: string, definition: VmDefinition): Promise<Vm> {
    const { name } = definition;
    const on = this.#hosts.get(host);
    const known = await this.#store.getVm(name);
    if (known) throw new SealiftError('already_exists', `VM ${name} is already there, on host ${known.host}`);
    const report = await on.ask();
    checkMachine(definition, report);
    checkRoom(definition, report);

    const stored: StoredVm = { name, host, definition, createdAt: Date.now() };
    // The name is claimed before the agent is asked, so that of two orders at the same moment one is refused.
    if (!(await this.#store.addVm(stored))) {
      if (await this.#store.getVm(name)) throw new SealiftError('already_exists', `VM ${name} is already there`);
      throw new SealiftError('not_found', `host ${host} has just been removed`);
    }
    try {
      await define(on.link, definition);
    } catch (error) {
      await this.#store.removeVm(name);
      throw error;
    }
    this.#log.info({ vm: name, host }, 'VM created');
    await on.refresh();
    return this.#view(stored, undefined);
  }

  start(name: string): Promise<Vm> {
    return this.#order(name, 'started', (link) => link.client.startVm({ params: { vm: name } }));
  }

  stop(name: string, force: boolean): Promise<Vm> {
    return this.#order(name, 'stopped', (link) => link.client.stopVm({ params: { vm: name }, body: { force } }));
  }

  /** @throws SealiftError wrong_state while it runs */
  async remove(name: string): Promise<void> {
    const vm = await this.#notMoving(name);
    const host = this.#hosts.get(vm.host);
    const here = (await host.ask()).vms.find((each) => each.definition.name === name);
    if (here && here.state !== 'stopped' && here.state !== 'crashed') {
      throw new SealiftError('wrong_state', `VM ${name} is ${here.state}; stop it first`, { details: { state: here.state } });
    }
    if (here) await host.link.client.removeVm({ params: { vm: name } }).catch(unlessNotFound);
    await this.#store.removeVm(name);
    this.#log.info({ vm: name, host: vm.host }, 'VM removed');
    await host.refresh();
  }

  async console(name: string): Promise<Duplex> {
    const vm = await this.#find(name);
    return this.#hosts.get(vm.host).link.console(name);
  }

  async #order(name: string, done: string, order: (link: AgentLink) => Promise<AgentVm>): Promise<Vm> {
    const vm = await this.#notMoving(name);
    const host = this.#hosts.get(vm.host);
    const { state } = await order(host.link);
    this.#log.info({ vm: name, host: vm.host, state }, `VM ${done}`);
    await host.refresh();
    return this.#view(vm, undefined);
  }

  async #find(name: string): Promise<StoredVm> {
    const vm = await this.#store.getVm(name);
    if (!vm) throw new SealiftError('not_found', `there is no VM ${name}`);
    return vm;
  }

  async #notMoving(name: string): Promise<StoredVm> {
    const [vm, moving] = await Promise.all([this.#find(name), this.#store.migrationOf(name)]);
    if (!moving) return vm;
    const { id, to } = moving.migration;
    throw new SealiftError('migrating', `VM ${name} is moving to host ${to}; wait, or cancel migration ${id}`, {
      details: { migration: id },
    });
  }

  async #view(vm: StoredVm, migration: string | undefined): Promise<Vm> {
    const host = this.#hosts.get(vm.host);
    await host.view();
    const here = host.current?.vms.find((each) => each.definition.name === vm.name);
    const { name, definition, createdAt } = vm;
    return { name, host: vm.host, state: here?.state ?? 'unknown', definition, createdAt, ...(migration !== undefined && { migration }) };
  }
}

/** An earlier order whose answer was lost may have defined this very VM already. */
async function define({ client }: AgentLink, definition: VmDefinition): Promise<void> {
  try {
    await client.defineVm({ body: definition });
  } catch (error) {
    if (!(error instanceof SealiftError && error.code === 'already_exists')) throw error;
    const there = await client.getVm({ params: { vm: definition.name } });
    if (there.state !== 'stopped' || !isDeepStrictEqual(there.definition, definition)) throw error;
  }
}

function unlessNotFound(error: unknown): void {
  if (!(error instanceof SealiftError && error.code === 'not_found')) throw error;
}
