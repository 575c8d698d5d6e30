/** The runner of one drain: rounds until nothing is left that could leave, or somebody has cancelled it. */
import { type DrainOrder, type Migration, type Move, SealiftError } from '@sealift/contract';
import type { MonitoredHost } from '../agents/monitor.ts';
import { limitsOfAll } from '../moves/limits.ts';
import { Pace } from '../moves/pace.ts';
import { cancelAll, type Parts, partsOf, Told } from '../moves/parts.ts';
import { Slots } from '../moves/slots.ts';
import type { LiveTask } from '../tasks/live.ts';
import { type Refusal, triedOf } from './attempts.ts';
import type { DrainServices } from './drains.ts';
import { type Round, roundOf } from './round.ts';
import { staying } from './words.ts';

export class Drain {
  readonly #task: LiveTask;
  readonly #host: MonitoredHost;
  readonly #services: DrainServices;
  readonly #signal: AbortSignal;
  readonly #refusals: Refusal[] = [];
  readonly #asked = new Set<string>();
  readonly #told: Told;
  #trouble: string | undefined;

  /** @param signal aborted when the manager stops */
  constructor(task: LiveTask, host: MonitoredHost, services: DrainServices, signal: AbortSignal) {
    this.#task = task;
    this.#host = host;
    this.#services = services;
    this.#signal = signal;
    this.#told = new Told(task);
  }

  async run(): Promise<void> {
    const { name } = this.#host;
    const { events, pace } = this.#services;
    const concerns = ({ type, data }: { type: string; data?: Record<string, unknown> | undefined }) =>
      type === 'migration.ended' && (data?.['from'] === name || data?.['to'] === name);
    const rounds = new Pace(events, concerns, pace.roundMs, this.#signal);
    this.#task.cancelled.addEventListener('abort', rounds.wake, { once: true });
    try {
      if (!this.#task.cancelled.aborted) await this.#host.setMaintenance('draining');
      while (!this.#signal.aborted) {
        const dueAt = await this.#try();
        if (this.#task.ended || this.#signal.aborted) return;
        await rounds.next(dueAt === undefined ? undefined : dueAt - Date.now());
      }
    } finally {
      rounds.end();
    }
  }

  /** A round that cannot be made, because the host is silent or the database busy, is made later. */
  async #try(): Promise<number | undefined> {
    try {
      const parts = await partsOf(this.#task.id, this.#services.store);
      this.#told.tell(this.#task, parts.ended);
      if (this.#task.cancelled.aborted) {
        await this.#stop(parts);
        return undefined;
      }
      await this.#host.ask(); // a silent host keeps nobody else waiting
      const round = await this.#services.beginning.run(() => this.#round());
      this.#trouble = undefined;
      return round.dueAt;
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      const trouble = error instanceof Error ? error.message : String(error);
      if (trouble !== this.#trouble) this.#task.say(`it waits: ${trouble}`);
      this.#trouble = trouble;
      this.#services.log.warn({ err: error, task: this.#task.id }, 'a round of a drain could not be made');
      return undefined;
    }
  }

  async #stop({ running }: Parts): Promise<void> {
    const { tasks, moving } = this.#services;
    await cancelAll(running, moving, this.#task, this.#asked);
    if (running.length > 0) return;
    await this.#host.setMaintenance('none');
    this.#task.say(`cancelled; host ${this.#host.name} is out of maintenance, and what has left it stays where it is`);
    await tasks.end(this.#task, 'cancelled');
  }

  async #round(): Promise<Round> {
    const { store, planning, hosts, pace } = this.#services;
    const { name } = this.#host;
    const order = (this.#task.stored.orders ?? {}) as DrainOrder; // as the task was begun with
    const report = await this.#host.ask();
    const [plan, unfinished, known, limits] = await Promise.all([
      planning.planDrain(name, order),
      store.unfinishedMigrations(),
      store.knownVms(report.vms.map(({ definition }) => definition.name)),
      limitsOfAll(hosts, planning),
    ]);
    // After the unfinished ones: what ends in between is in both, so that it is neither begun again at once nor forgotten as an attempt.
    const parts = await partsOf(this.#task.id, store);
    this.#told.tell(this.#task, parts.ended);
    const round = roundOf({
      host: name,
      report,
      known: new Set(known),
      plan,
      unfinished: unfinished.map(({ migration }) => migration),
      own: parts.running.length,
      concurrent: order.concurrent ?? Number.POSITIVE_INFINITY,
      tried: triedOf(parts.ended, this.#refusals),
      patience: pace,
      slots: new Slots(
        unfinished.map(({ migration }) => migration),
        limits,
      ),
      now: Date.now(),
    });
    const gone = parts.ended.filter(({ phase, from }) => phase === 'completed' && from === name).length;
    await this.#task.progress(gone, gone + round.left);
    for (const { move, elsewhere } of round.begin) {
      if (this.#task.cancelled.aborted || this.#signal.aborted) return round;
      await this.#begin(move, elsewhere, order);
    }
    if (!round.over) return round;
    // One of its own has ended since they were looked up: it is told of, and counted, first.
    if (parts.running.length > 0) return { ...round, dueAt: Date.now() };
    await this.#end(round, hosts.get(name));
    return round;
  }

  async #begin(move: Move, elsewhere: ReadonlySet<string> | undefined, { limits }: DrainOrder): Promise<void> {
    const { vm } = move;
    const to = elsewhere ? await this.#another(move, elsewhere) : move.to;
    try {
      const migration = await this.#services.moving.order(vm, { to, ...(limits && { limits }) }, this.#task.id);
      this.#task.say(begun(migration));
    } catch (error) {
      if (!(error instanceof SealiftError) || this.#signal.aborted) throw error;
      // Somebody else moves it, or it was removed: the next round sees it.
      if (error.code === 'migrating' || error.code === 'not_found') return;
      this.#refusals.push({ vm, to, at: Date.now(), why: error.message });
      this.#task.say(`VM ${vm} could not be moved to host ${to}: ${error.message}`);
    }
  }

  /** The best destination that was not tried yet; the one that is planned where there is no other. */
  async #another({ vm, to }: Move, tried: ReadonlySet<string>): Promise<string> {
    const { candidates } = await this.#services.planning.plan(vm, {});
    return candidates.find(({ host, eligible }) => eligible && !tried.has(host))?.host ?? to;
  }

  async #end({ stays }: Round, host: MonitoredHost): Promise<void> {
    const { tasks } = this.#services;
    if (this.#task.cancelled.aborted) return;
    if (stays.length === 0) {
      await host.setMaintenance('maintenance');
      this.#task.say(`host ${host.name} is in maintenance: nothing runs on it`);
      await tasks.end(this.#task, 'completed');
      return;
    }
    for (const { vm, why } of stays) this.#task.say(`VM ${vm} stays: ${why}`);
    await tasks.end(this.#task, 'failed', staying(host.name, stays));
  }
}

const begun = ({ vm, to, id, clearBecause }: Migration): string =>
  `VM ${vm} moves to host ${to} (migration ${id})${clearBecause === undefined ? '' : ` WITHOUT ENCRYPTION: ${clearBecause}`}`;
