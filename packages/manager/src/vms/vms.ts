/** The VMs: which there are is the store's to say, how each is its host's. */
import type { Duplex } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { type AgentVm, SealiftError, type Vm, type VmDefinition, type VmRemoval } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Hosts } from '../agents/hosts.ts';
import type { AgentLink } from '../agents/link.ts';
import type { MonitoredHost } from '../agents/monitor.ts';
import { effectiveEncryption } from '../clusters/clusters.ts';
import type { Events } from '../events/events.ts';
import type { Resolutions } from '../migrations/resolutions.ts';
import { moving } from '../migrations/words.ts';
import type { Store, StoredVm, VmPage } from '../store/store.ts';
import type { Tasks } from '../tasks/tasks.ts';
import { changedFields, redefine } from './change.ts';
import { checkMachine, checkRoom } from './room.ts';
import { type Finding, type Knowledge, liveElsewhere, sight } from './sightings.ts';

export interface VmServices {
  readonly store: Store;
  readonly hosts: Hosts;
  readonly resolutions: Resolutions;
  readonly tasks: Tasks;
  readonly events: Events;
  readonly log: Logger;
}

/** Of orders to a VM's host. */
type Kind = 'start' | 'stop' | 'reset' | 'suspend' | 'resume';

export class Vms {
  readonly #store: Store;
  readonly #hosts: Hosts;
  readonly #resolutions: Resolutions;
  readonly #tasks: Tasks;
  readonly #events: Events;
  readonly #log: Logger;

  constructor({ store, hosts, resolutions, tasks, events, log }: VmServices) {
    this.#store = store;
    this.#hosts = hosts;
    this.#resolutions = resolutions;
    this.#tasks = tasks;
    this.#events = events;
    this.#log = log;
  }

  /** By name. */
  async list(page: VmPage = {}): Promise<Vm[]> {
    return this.#views(() => this.#store.listVms(page));
  }

  async get(name: string): Promise<Vm> {
    const [view] = await this.#views(async () => [await this.#find(name)]);
    if (!view) throw new SealiftError('not_found', `there is no VM ${name}`);
    return view;
  }

  /** @throws SealiftError not_found, wrong_state, agent_unreachable, no_room, incompatible, already_exists; nothing is changed then */
  async create(host: string, definition: VmDefinition): Promise<Vm> {
    const on = this.#hosts.get(host);
    const { name } = definition;
    const subject = { vm: name, host };
    return this.#tasks.run({ kind: 'create', title: `create VM ${name} on host ${host}`, subject }, () => this.#create(on, definition));
  }

  async #create(on: MonitoredHost, definition: VmDefinition): Promise<Vm> {
    const { name } = definition;
    const host = on.name;
    const known = await this.#store.getVm(name);
    if (known) throw new SealiftError('already_exists', `VM ${name} is already there, on host ${known.host}`);
    requireInService(on, `VM ${name} is not created there`);
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
    this.#events.publish({ type: 'vm.created', subject: { vm: name, host }, message: `VM ${name} was created on host ${host}` });
    await on.refresh();
    return this.get(name);
  }

  /**
   * The encryption mode at any time: it holds for migrations that are ordered from then on. The rest only while the VM is off.
   * @throws SealiftError not_found, invalid_request, wrong_state, migrating, no_room, incompatible, agent_unreachable; nothing is changed then
   */
  async change(name: string, definition: VmDefinition): Promise<Vm> {
    const { host } = await this.#find(name);
    if (definition.name !== name) {
      throw new SealiftError(
        'invalid_request',
        `name: a VM keeps its name; this is VM ${name}, and the definition says ${definition.name}`,
      );
    }
    const subject = { vm: name, host };
    return this.#tasks.run({ kind: 'change', title: `change VM ${name}`, subject }, () => this.#change(name, definition));
  }

  async #change(name: string, definition: VmDefinition): Promise<Vm> {
    const vm = await this.#find(name);
    const host = this.#hosts.get(vm.host);
    const fields = changedFields(vm.definition, definition);
    if (fields.length > 0) {
      await this.#notMoving(name);
      await redefine(vm, definition, host);
    }
    await this.#store.changeVm(name, definition);
    if (fields.length === 0) {
      // The manager decides how a VM moves. The host keeps the mode too, for whoever looks at it there, and may have it later.
      await host.link.client.changeVm({ params: { vm: name }, body: definition }).catch((error) => {
        this.#log.warn({ err: error, vm: name, host: vm.host }, "a VM's encryption was changed, and its host has not recorded it");
      });
    }
    const encryption = definition.encryption === vm.definition.encryption ? [] : ['encryption'];
    const what = [...fields, ...encryption];
    this.#log.info({ vm: name, fields: what, encryption: definition.encryption }, 'VM changed');
    const message = what.length === 0 ? `VM ${name} was given the definition that it had` : `VM ${name} was changed: ${what.join(', ')}`;
    this.#events.publish({ type: 'vm.changed', subject: { vm: name, host: vm.host }, message, data: { fields: what } });
    await host.refresh();
    return this.get(name);
  }

  /** @throws SealiftError wrong_state also where another host has it and it could run there, or where its host is in maintenance */
  start(name: string): Promise<Vm> {
    return this.#order(
      name,
      'start',
      (link) => link.client.startVm({ params: { vm: name } }),
      async (host) => {
        requireInService(host, `VM ${name} is not started there`);
        await this.#requireAlone(name);
      },
    );
  }

  stop(name: string, force: boolean): Promise<Vm> {
    return this.#order(name, 'stop', (link) => link.client.stopVm({ params: { vm: name }, body: { force } }));
  }

  reset(name: string): Promise<Vm> {
    return this.#order(name, 'reset', (link) => link.client.resetVm({ params: { vm: name } }));
  }

  suspend(name: string): Promise<Vm> {
    return this.#order(name, 'suspend', (link) => link.client.suspendVm({ params: { vm: name } }));
  }

  resume(name: string): Promise<Vm> {
    return this.#order(name, 'resume', (link) => link.client.resumeVm({ params: { vm: name } }));
  }

  /** @throws SealiftError wrong_state while it runs */
  async remove(name: string, keepDisks = false): Promise<VmRemoval> {
    const { host } = await this.#find(name);
    const subject = { vm: name, host };
    return this.#tasks.run({ kind: 'remove', title: `remove VM ${name}`, subject }, () => this.#remove(name, keepDisks));
  }

  async #remove(name: string, keepDisks: boolean): Promise<VmRemoval> {
    const vm = await this.#notMoving(name);
    const host = this.#hosts.get(vm.host);
    const here = (await host.ask()).vms.find((each) => each.definition.name === name);
    if (here && here.state !== 'stopped' && here.state !== 'crashed') {
      throw new SealiftError('wrong_state', `VM ${name} is ${here.state}; stop it first`, { details: { state: here.state } });
    }
    const order = { params: { vm: name }, ...(keepDisks && { query: { keepDisks } }) };
    const removal = (here && (await host.link.client.removeVm(order).catch(unlessNotFound))) ?? {};
    await this.#store.removeVm(name);
    this.#log.info({ vm: name, host: vm.host, ...removal }, 'VM removed');
    const { removedDisks = [] } = removal;
    const disks = removedDisks.length > 0 ? `and with it its disks ${removedDisks.join(', ')} on host ${vm.host}` : 'its disks stay';
    this.#events.publish({ type: 'vm.removed', subject: { vm: name, host: vm.host }, message: `VM ${name} was removed; ${disks}` });
    await host.refresh();
    return removal;
  }

  async console(name: string): Promise<Duplex> {
    const vm = await this.#find(name);
    return this.#hosts.get(vm.host).link.console(name);
  }

  async #order(
    name: string,
    kind: Kind,
    order: (link: AgentLink) => Promise<AgentVm>,
    check?: (host: MonitoredHost) => Promise<void>,
  ): Promise<Vm> {
    const { host } = await this.#find(name);
    return this.#tasks.run({ kind, title: `${kind} VM ${name}`, subject: { vm: name, host } }, async () => {
      const vm = await this.#notMoving(name);
      const on = this.#hosts.get(vm.host);
      await check?.(on);
      const { state } = await order(on.link);
      this.#log.info({ vm: name, host: vm.host, order: kind, state }, 'an order to a VM was carried out');
      await on.refresh();
      return this.get(name);
    });
  }

  /** A second copy must never run: every host that answers is asked before one is started. */
  async #requireAlone(name: string): Promise<void> {
    const vm = await this.#notMoving(name);
    await this.#hosts.settled();
    const { whereabouts } = this.#hosts;
    await Promise.all(this.#hosts.all().map((host) => whereabouts.answers(host.name) && host.refresh()));
    const { found } = this.#finding(vm, undefined);
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
    const [migrations, clusters] = await Promise.all([
      Promise.all(vms.map(({ name }) => this.#store.migrationOf(name))),
      this.#store.policy.listClusters(),
      this.#hosts.settled(),
    ]);
    const modes = new Map(clusters.map(({ name, encryption }) => [name, encryption]));
    return vms.map((stored, index) => {
      const migration = migrations[index]?.migration;
      const finding = this.#finding(stored, migration);
      const { name, host, definition, createdAt } = stored;
      const { state, found, problem } = finding;
      const on = this.#hosts.find(host);
      const { stats, disks } = on?.vmCalled(name) ?? {};
      const use = { ...(stats && { stats }), ...(disks && { disks }) };
      const more = { ...(migration && { migration: migration.id }), ...(problem !== undefined && { problem }), ...use };
      const encryption = effectiveEncryption(definition, modes.get(on?.cluster ?? 'default') ?? 'opportunistic');
      return { vm: { name, host, state, definition, encryption, createdAt, found, ...more }, finding };
    });
  }

  #finding(vm: StoredVm, migration: Knowledge['migration']): Finding {
    const { whereabouts } = this.#hosts;
    const { silent } = whereabouts;
    const untold = this.#resolutions.untoldOf(vm.name);
    return sight({ vm, migration, found: whereabouts.of(vm.name), silent, answers: (host) => whereabouts.answers(host), untold });
  }
}

/** @throws SealiftError wrong_state where VMs are leaving the host, or have left */
function requireInService({ name, maintenance }: MonitoredHost, so: string): void {
  if (maintenance === 'none') return;
  const state = maintenance === 'draining' ? 'is being drained' : 'is in maintenance';
  const message = `host ${name} ${state}: ${so}. Take another host, or take this one out of maintenance: sealift host undrain ${name}`;
  throw new SealiftError('wrong_state', message, { details: { maintenance } });
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

function unlessNotFound(error: unknown): undefined {
  if (!(error instanceof SealiftError && error.code === 'not_found')) throw error;
}
