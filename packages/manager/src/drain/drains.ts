/**
 * Drains: a host on its way into maintenance. One runner for each, which looks at everything anew after each end of a migration: hosts and loads
 * change meanwhile. What it knows is in the database (the task, and migrations that are part of it), so it goes on after a restart, and the
 * store's one migration for a VM keeps it from moving anything twice.
 *
 *     order ─► task recorded ─► host draining ─► rounds ─► maintenance (all have left) | draining (some stay) | none (cancelled)
 */
import { type DrainOrder, type Host, SealiftError, type Task } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Hosts } from '../agents/hosts.ts';
import type { Events } from '../events/events.ts';
import { Exclusive } from '../exclusive.ts';
import type { Moving, Planning } from '../moves/planning.ts';
import type { Store } from '../store/store.ts';
import type { LiveTask } from '../tasks/live.ts';
import type { Tasks } from '../tasks/tasks.ts';
import { failureOf } from '../tasks/words.ts';
import type { Patience } from './attempts.ts';
import { Drain } from './drain.ts';
import { willDo } from './round.ts';
import { nothingLeaves } from './words.ts';

export interface DrainServices {
  readonly store: Store;
  readonly hosts: Hosts;
  readonly tasks: Tasks;
  readonly events: Events;
  readonly moving: Moving;
  readonly planning: Planning;
  /** Whoever begins migrations within limits looks how many go on, and begins more, before the next one looks. */
  readonly beginning: Exclusive;
  readonly log: Logger;
  readonly pace: DrainPace;
}

export interface DrainPace extends Patience {
  /** The longest time between two rounds. */
  readonly roundMs: number;
}

export class Drains {
  readonly #services: DrainServices;
  readonly #running = new Map<string, { readonly task: LiveTask; readonly done: Promise<void> }>();
  readonly #closing = new AbortController();
  readonly #orders = new Exclusive();

  constructor(services: DrainServices) {
    this.#services = services;
  }

  /**
   * @throws SealiftError not_found, agent_unreachable, wrong_state where it is being drained already, or where not one VM could leave; nothing
   * is changed then
   */
  order(host: string, order: DrainOrder): Promise<Task> {
    // One at a time, so that of two hosts that could only go to each other the second is told, instead of both waiting.
    return this.#orders.run(async () => {
      const { hosts, tasks, planning, store } = this.#services;
      const monitored = hosts.get(host);
      this.#refuseDraining(host);
      const { vms } = await monitored.ask();
      const plan = await planning.planDrain(host, order);
      // What is off stays, and what is on its way here is for later rounds: neither is in the way of anything now.
      const runs = new Set(vms.filter(({ state }) => state === 'running' || state === 'paused').map(({ definition }) => definition.name));
      const stays = plan.stays.filter(({ vm }) => runs.has(vm));
      const moving = (await store.unfinishedMigrations()).some(({ migration }) => migration.from === host);
      const hopeless = stays.length > 0 && plan.moves.length === 0 && !moving;
      if (hopeless && !stays.some(({ candidates }) => candidates.some(willDo))) throw nothingLeaves(host, stays);
      const subject = { host, cluster: monitored.cluster };
      const total = plan.moves.length + stays.length;
      const task = await tasks.begin({ kind: 'drain', title: `drain host ${host}`, subject, total, orders: order });
      if (!task) throw new SealiftError('wrong_state', `host ${host} is being drained already`);
      await monitored.setMaintenance('draining');
      task.say(`${plan.moves.length} VMs are to leave host ${host}, and ${stays.length} cannot as things are`);
      for (const { vm, why } of stays) task.say(`VM ${vm} cannot leave as things are: ${why}`);
      this.resume(task);
      return tasks.get(task.id);
    });
  }

  /** A drain that goes on is cancelled; what has left stays where it is. */
  undrain(host: string): Promise<Host> {
    return this.#orders.run(async () => {
      const monitored = this.#services.hosts.get(host);
      await this.#running.get(host)?.task.cancel();
      await monitored.setMaintenance('none');
      return monitored.view();
    });
  }

  /** Goes on with a drain, after its order or a restart. */
  resume(task: LiveTask): void {
    const { host = '' } = task.stored.subject;
    const { log, tasks, hosts } = this.#services;
    const run = async () => new Drain(task, hosts.get(host), this.#services, this.#closing.signal).run();
    const done = run()
      .catch(async (error) => {
        if (this.#closing.signal.aborted) return;
        log.error({ err: error, task: task.id }, 'a drain failed unexpectedly');
        await tasks.end(task, 'failed', failureOf(error));
      })
      .finally(() => this.#running.delete(host));
    this.#running.set(host, { task, done });
  }

  /** The migrations go on; the next start takes the drains up again. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  #refuseDraining(host: string): void {
    const running = this.#running.get(host);
    if (!running) return;
    const { id, cancelled } = running.task;
    const what = cancelled.aborted ? 'it is being cancelled: try again once it has ended' : `see how it goes: sealift task watch ${id}`;
    throw new SealiftError('wrong_state', `host ${host} is being drained already, by task ${id}; ${what}`, { details: { task: id } });
  }
}
