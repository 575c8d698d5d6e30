/** The VMs: which there are is the store's to say, how each is its host's. */
import type { Duplex } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { type AgentVm, type Migration, SealiftError, type Vm, type VmDefinition } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Hosts } from '../agents/hosts.ts';
import type { AgentLink } from '../agents/link.ts';
import type { Resolutions } from '../migrations/resolutions.ts';
import { moving } from '../migrations/words.ts';
import type { Store, StoredVm } from '../store/store.ts';
import { checkMachine, checkRoom } from './room.ts';
import { type Finding, liveElsewhere, sight } from './sightings.ts';

export class Vms {
  readonly #store: Store;
  readonly #hosts: Hosts;
  readonly #resolutions: Resolutions;
  readonly #log: Logger;

  constructor(store: Store, hosts: Hosts, resolutions: Resolutions, log: Logger) {
    this.#store = store;
    this.#hosts = hosts;
    this.#resolutions = resolutions;
    this.#log = log;
  }

  async list(): Promise<Vm[]> {
    return this.#views(() => this.#store.listVms());
  }

  async get(name: string): Promise<Vm> {
    const [view] = await this.#views(async () => [await this.#find(name)]);
    if (!view) throw new SealiftError('not_found', `there is no VM ${name}`);
    return view;
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
    return this.get(name);
  }

  /** @throws SealiftError wrong_state also where another host has it and it could run there */
  async start(name: string): Promise<Vm> {
    await this.#requireAlone(name);
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
    return this.get(name);
  }

  /** A second copy must never run: every host that answers is asked before one is started. */
  async #requireAlone(name: string): Promise<void> {
    const vm = await this.#notMoving(name);
    const connected = (await this.#hosts.list()).filter(({ state }) => state === 'connected');
    await Promise.all(connected.map((host) => this.#hosts.get(host.name).refresh()));
    const { found } = await this.#finding(vm, undefined);
    const others = liveElsewhere(found, vm.host);
    if (others.length === 0) return;
    const where = others.map(({ host, state }) => `${state} on host ${host}`).join(' and ');
    const here = found.find(({ host }) => host === vm.host)?.state ?? 'not found';
    const message = `VM ${name} is ${here} on host ${vm.host}, where the manager has it, and it is ${where}: started, it would run twice`;
    throw new SealiftError(
      'wrong_state',
      `${message}. See sealift vm show ${name}, and end the copy that is not the VM at its host first`,
      {
        details: { found },
      },
    );
  }

  async #find(name: string): Promise<StoredVm> {
    const vm = await this.#store.getVm(name);
    if (!vm) throw new SealiftError('not_found', `there is no VM ${name}`);
    return vm;
  }

  async #notMoving(name: string): Promise<StoredVm> {
    const [vm, unfinished] = await Promise.all([this.#find(name), this.#store.migrationOf(name)]);
    if (unfinished) throw moving(unfinished.migration);
    return vm;
  }

  /** A problem is told only of reports that were made after it was first seen: a migration that has just ended shows old ones. */
  async #views(read: () => Promise<StoredVm[]>): Promise<Vm[]> {
    const first = await this.#viewAll(await read());
    const doubted = new Set(first.flatMap(({ finding }) => (finding.problem === undefined ? [] : finding.restsOn)));
    if (doubted.size === 0) return first.map(({ vm }) => vm);
    await Promise.all([...doubted].map((host) => this.#hosts.get(host).refresh()));
    return (await this.#viewAll(await read())).map(({ vm }) => vm);
  }

  async #viewAll(vms: readonly StoredVm[]): Promise<{ vm: Vm; finding: Finding }[]> {
    const unfinished = new Map((await this.#store.unfinishedMigrations()).map(({ migration }) => [migration.vm, migration]));
    return Promise.all(
      vms.map(async (stored) => {
        const migration = unfinished.get(stored.name);
        const finding = await this.#finding(stored, migration);
        const { name, host, definition, createdAt } = stored;
        const { state, found, problem } = finding;
        const more = { ...(migration && { migration: migration.id }), ...(problem !== undefined && { problem }) };
        const encryption = { mode: definition.encryption ?? 'opportunistic', from: definition.encryption ? 'vm' : 'cluster' } as const;
        return { vm: { name, host, state, definition, encryption, createdAt, found, ...more }, finding };
      }),
    );
  }

  async #finding(vm: StoredVm, migration: Migration | undefined): Promise<Finding> {
    return sight({ vm, migration, hosts: await this.#hosts.list(), untold: this.#resolutions.untoldOf(vm.name) });
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
