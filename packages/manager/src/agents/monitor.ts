/** One host under watch: asked every few seconds and after each order how it is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentVm, type Host, type HostReport, type Maintenance, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Events } from '../events/events.ts';
import { VmStates } from '../events/vm-states.ts';
import type { Store, StoredHost } from '../store/store.ts';
import { type Alike, equal } from './alike.ts';
import type { Gate } from './gate.ts';
import type { AgentLink, Await } from './link.ts';
import type { Whereabouts } from './whereabouts.ts';

/** What else a host hears when it is asked how it is. */
export interface Greet {
  /** What it has missed. @throws SealiftError agent_unreachable where it does not answer */
  before(link: AgentLink): Promise<void>;
  /** What its answer shows that it has to hear again. Never rejects. */
  after(link: AgentLink, report: HostReport): Promise<void>;
}

export type Standing = Pick<Host, 'name' | 'state' | 'report'>;

/** What every watched host is given. */
export interface Watch {
  readonly store: Store;
  readonly log: Logger;
  readonly pollMs: number;
  readonly greet: Greet;
  readonly events: Events;
  /** Told of each report. */
  readonly whereabouts: Whereabouts;
  /** What many hosts say alike is kept once. */
  readonly alike: Alike;
  /** For asking a host that may not answer, or not soon. */
  readonly gate: Gate;
  /** How many hosts are watched. */
  readonly count: () => number;
}

/** Hosts that are asked in turn: so many each second at most, so that a large site is asked less often and not the manager more. */
const askedPerSecond = 250;
/** What an agent is asked to wait for news, seconds: at least, and at most. */
const waitSeconds = { least: 3, most: 10 };
/** Between two answers that came for news: what comes in the meantime is one. */
const newsMs = 250;

type Seen = { readonly report: HostReport; readonly problem?: never } | { readonly problem: string; readonly report?: HostReport };

export class MonitoredHost {
  readonly link: AgentLink;
  readonly #stored: StoredHost;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #greet: Greet;
  readonly #events: Events;
  readonly #vmStates = new VmStates();
  readonly #whereabouts: Whereabouts;
  readonly #alike: Alike;
  readonly #count: () => number;
  #vms: { readonly of: HostReport; readonly byName: ReadonlyMap<string, AgentVm> } | undefined;
  /** Of the report that is shown; undefined where its agent does not say. */
  #revision: string | undefined;
  #maintenance: Maintenance;
  readonly #closing = new AbortController();
  readonly #polling: Promise<void>;
  #seen: Seen | undefined;
  #lastSeenAt: number | undefined;
  /** Answers may overtake each other: one that was asked for earlier than the one shown is dropped. */
  #asked = 0;
  #shown = 0;
  /** Resolves when the host has first answered or not answered. */
  readonly #first: Promise<unknown>;

  constructor(stored: StoredHost, link: AgentLink, watch: Watch, report?: HostReport) {
    const { store, log, pollMs, greet, events, gate } = watch;
    this.link = link;
    this.#whereabouts = watch.whereabouts;
    this.#alike = watch.alike;
    this.#count = watch.count;
    this.#greet = greet;
    this.#events = events;
    this.#maintenance = stored.maintenance;
    this.#stored = stored;
    this.#store = store;
    this.#log = log.child({ host: stored.name });
    this.#lastSeenAt = stored.lastSeenAt;
    if (report) {
      this.#seen = { report };
      this.#whereabouts.heard(stored.name, report.vms);
    }
    this.#first = report ? Promise.resolve() : gate.run(() => this.refresh());
    this.#polling = this.#poll(pollMs, gate);
  }

  get name(): string {
    return this.#stored.name;
  }

  get cluster(): string {
    return this.#stored.cluster;
  }

  get maintenance(): Maintenance {
    return this.#maintenance;
  }

  /** Recorded before it holds. */
  async setMaintenance(maintenance: Maintenance): Promise<void> {
    if (maintenance === this.#maintenance) return;
    await this.#store.setMaintenance(this.name, maintenance);
    this.#maintenance = maintenance;
    this.#log.info({ maintenance }, 'maintenance of a host');
    const words = { none: 'is out of maintenance', draining: 'is being drained', maintenance: 'is in maintenance' };
    const message = `host ${this.name} ${words[maintenance]}`;
    this.#events.publish({ type: 'host.maintenance', subject: { host: this.name }, message, data: { maintenance } });
  }

  /** What it last said, while it answers. */
  get current(): HostReport | undefined {
    return this.#seen?.problem === undefined ? this.#seen?.report : undefined;
  }

  /** As it last said, also where it has fallen silent since. */
  vmCalled(name: string): AgentVm | undefined {
    const report = this.#seen?.report;
    if (!report) return undefined;
    if (this.#vms?.of !== report) {
      this.#vms = { of: report, byName: new Map(report.vms.map((vm) => [vm.definition.name, vm])) };
    }
    return this.#vms.byName.get(name);
  }

  /** How it last answered; waits for the first answer after the manager has started. */
  async standing(): Promise<Standing> {
    await this.#first;
    const seen = this.#seen;
    const state = seen && seen.problem === undefined ? 'connected' : 'unreachable';
    return { name: this.name, state, ...(seen?.report && { report: seen.report }) };
  }

  /** As people see it; waits for the first answer after the manager has started. */
  async view(): Promise<Host> {
    const standing = await this.standing();
    return this.viewOf(standing, new Set(await this.#store.knownVms(namesOf(standing))));
  }

  /** @param known of the VMs of this standing, the names of those that the manager has */
  viewOf(standing: Standing, known: ReadonlySet<string>): Host {
    const { endpoint, cluster } = this.#stored;
    const seen = this.#seen;
    const unknown = namesOf(standing).filter((vm) => !known.has(vm));
    return {
      ...standing,
      endpoint,
      cluster,
      maintenance: this.#maintenance,
      ...(seen?.problem !== undefined && { problem: seen.problem }),
      ...(this.#lastSeenAt !== undefined && { lastSeenAt: this.#lastSeenAt }),
      ...(unknown.length > 0 && { unknownVms: unknown }),
    };
  }

  /**
   * Asks now.
   * @throws SealiftError agent_unreachable
   */
  ask(): Promise<HostReport> {
    return this.#ask();
  }

  async #ask(awaited?: Await): Promise<HostReport> {
    const number = ++this.#asked;
    try {
      await this.#greet.before(this.link);
      const { report: told, revision } = await this.link.tell(awaited);
      const report = this.#asKept(told);
      if (report.name !== this.name) {
        throw new SealiftError('agent_unreachable', `the agent at ${this.#stored.endpoint} serves host ${report.name}, not ${this.name}`);
      }
      this.#show(number, { report }, revision);
      await this.#greet.after(this.link, report);
      return report;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#show(number, { problem, ...(this.#seen?.report && { report: this.#seen.report }) });
      throw error;
    }
  }

  /** Made of what was kept of the last one, as far as it says the same again: what comes every few seconds is then for a few seconds only. */
  #asKept(told: HostReport): HostReport {
    const last = this.#seen?.report;
    const qemu = this.#alike.same(told.qemu, last?.qemu);
    const vms = told.vms.map((vm) => {
      const known = this.vmCalled(vm.definition.name)?.definition;
      return known && equal(vm.definition, known) ? { ...vm, definition: known } : vm;
    });
    return { ...told, vms, qemu, ...(told.cpu && { cpu: this.#alike.same(told.cpu, last?.cpu) }) };
  }

  /** Asks now, and takes silence for an answer. */
  async refresh(): Promise<void> {
    await this.ask().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.link.close();
    await this.#polling;
  }

  #show(number: number, seen: Seen, revision?: string): void {
    if (number < this.#shown || this.#closing.signal.aborted) return;
    this.#shown = number;
    const before = this.#seen;
    this.#seen = seen;
    this.#revision = revision;
    if (seen.problem === undefined) this.#whereabouts.heard(this.name, seen.report.vms);
    else this.#whereabouts.fell(this.name);
    if (seen.problem === undefined) this.#lastSeenAt = Date.now();
    const subject = { host: this.name };
    if (seen.problem === undefined) {
      for (const { vm, state, before: was } of this.#vmStates.changed(seen.report.vms)) {
        const [severity, message] = [
          state === 'crashed' ? 'error' : 'info',
          `VM ${vm} is ${state} on host ${this.name}; it was ${was}`,
        ] as const;
        this.#events.publish({ type: 'vm.state', subject: { vm, ...subject }, severity, message, data: { state } });
      }
    }
    if (before?.problem === seen.problem && before !== undefined) return;
    if (seen.problem !== undefined) {
      this.#log.warn({ problem: seen.problem }, 'host unreachable');
      // Another reason for the same silence is no news.
      if (before?.problem === undefined) {
        this.#events.publish({ type: 'host.unreachable', subject, severity: 'error', message: seen.problem });
      }
    } else {
      this.#log.info('host connected');
      // After a start of the manager, or when it was added, that it answers is no news.
      if (before) this.#events.publish({ type: 'host.connected', subject, message: `host ${this.name} answers again` });
    }
    // Kept when it changes, not at each poll: a commit is an fsync. Nor does the next host wait for it to be asked.
    if (this.#lastSeenAt === undefined) return;
    this.#store.hostSeen(this.name, this.#lastSeenAt).catch((error) => this.#log.error({ err: error }, 'last seen was not recorded'));
  }

  /**
   * An agent that can is asked to answer once it has news. What it says then is dropped where an order has had it asked meanwhile: the next
   * question, which names the revision that is shown, is answered at once.
   */
  async #poll(pollMs: number, gate: Gate): Promise<void> {
    const { signal } = this.#closing;
    const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined);
    await this.#first;
    let first = true;
    while (!signal.aborted) {
      const revision = this.#revision;
      const everyMs = Math.max(pollMs, (this.#count() * 1000) / askedPerSecond);
      if (revision === undefined) {
        await pause(everyMs);
        if (!signal.aborted) await gate.run(() => this.refresh());
        continue;
      }
      // Hosts that were greeted together are not to answer together ever after.
      const longest = Math.min(waitSeconds.most, Math.max(waitSeconds.least, Math.ceil(everyMs / 1000)));
      const seconds = Math.max(1, Math.ceil(longest * (first ? Math.random() : 1 - Math.random() / 4)));
      first = false;
      const begun = performance.now();
      await this.#ask({ revision, seconds }).catch(() => undefined);
      // One that answers at once although nothing is new is not asked again and again.
      const idle = this.#revision === revision && performance.now() - begun < newsMs;
      await pause(idle ? everyMs : newsMs * (0.5 + Math.random()));
    }
  }
}

/** Of the VMs that a host has. */
export const namesOf = ({ report }: Standing): string[] => (report?.vms ?? []).map(({ definition }) => definition.name);
