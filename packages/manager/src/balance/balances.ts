/**
 * Balances: a cluster's moves, carried out within its limits. The moves are planned once and recorded with the task; each is checked again
 * before it begins, and left out where it no longer makes sense. One balance of a cluster at a time; hosts that are being drained or are in
 * maintenance take no part.
 */
import { type BalancePlan, type Move, SealiftError, type Task } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Hosts } from '../agents/hosts.ts';
import type { Events } from '../events/events.ts';
import type { Exclusive } from '../exclusive.ts';
import type { Moving, Planning } from '../moves/planning.ts';
import type { Store } from '../store/store.ts';
import type { LiveTask } from '../tasks/live.ts';
import type { Tasks } from '../tasks/tasks.ts';
import { failureOf } from '../tasks/words.ts';
import { Balance } from './balance.ts';

export interface BalanceServices {
  readonly store: Store;
  readonly hosts: Hosts;
  readonly tasks: Tasks;
  readonly events: Events;
  readonly moving: Moving;
  readonly planning: Planning;
  /** Whoever begins migrations within limits looks how many go on, and begins more, before the next one looks. */
  readonly beginning: Exclusive;
  readonly log: Logger;
  readonly pace: BalancePace;
}

export interface BalancePace {
  readonly roundMs: number;
  /** How often a cluster that is balanced by itself is looked at. */
  readonly autoMs: number;
}

export class Balances {
  readonly #services: BalanceServices;
  readonly #running = new Map<string, { readonly task: LiveTask; readonly done: Promise<void> }>();
  readonly #closing = new AbortController();
  #auto: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(services: BalanceServices) {
    this.#services = services;
  }

  /** Begins to look after the clusters that are balanced by themselves. */
  open(): void {
    this.#auto = setInterval(() => {
      this.#looking = this.#looking.then(() => this.#lookAfterAll());
    }, this.#services.pace.autoMs).unref();
  }

  /** @throws SealiftError not_found, wrong_state where it is being balanced already */
  async order(cluster: string): Promise<Task> {
    this.#refuseBalancing(cluster);
    const plan = await this.#services.planning.planBalance(cluster);
    const task = await this.#begin(cluster, plan, `balance cluster ${cluster}`);
    return this.#services.tasks.get(task.id);
  }

  /** Goes on with a balance, after its order or a restart. */
  resume(task: LiveTask): void {
    const { cluster = '' } = task.stored.subject;
    const { log, tasks } = this.#services;
    const done = new Balance(task, this.#services, this.#closing.signal)
      .run()
      .catch(async (error) => {
        if (this.#closing.signal.aborted) return;
        log.error({ err: error, task: task.id }, 'a balance failed unexpectedly');
        await tasks.end(task, 'failed', failureOf(error));
      })
      .finally(() => this.#running.delete(cluster));
    this.#running.set(cluster, { task, done });
  }

  /** The migrations go on; the next start takes the balances up again. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#auto);
    await this.#looking;
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #begin(cluster: string, plan: BalancePlan, title: string): Promise<LiveTask> {
    const moves = this.#inService(plan.moves);
    const { tasks } = this.#services;
    const task = await tasks.begin({ kind: 'balance', title, subject: { cluster }, total: moves.length, orders: { moves } });
    if (!task) throw new SealiftError('wrong_state', `cluster ${cluster} is being balanced already`);
    task.say(moves.length === 0 ? `nothing to move: ${plan.why}` : `${moves.length} moves: ${plan.why}`);
    this.resume(task);
    return task;
  }

  #inService(moves: readonly Move[]): Move[] {
    return moves.filter(({ from, to }) => [from, to].every((name) => this.#services.hosts.find(name)?.maintenance === 'none'));
  }

  #refuseBalancing(cluster: string): void {
    const running = this.#running.get(cluster);
    if (!running) return;
    const { id } = running.task;
    const message = `cluster ${cluster} is being balanced already, by task ${id}; see how it goes: sealift task watch ${id}`;
    throw new SealiftError('wrong_state', message, { details: { task: id } });
  }

  async #lookAfterAll(): Promise<void> {
    const { store, planning, log } = this.#services;
    try {
      for (const { name, balance } of await store.policy.listClusters()) {
        if (!balance.auto || this.#running.has(name) || this.#closing.signal.aborted) continue;
        const plan = await planning.planBalance(name);
        if (this.#inService(plan.moves).length > 0) await this.#begin(name, plan, `balance cluster ${name} by itself`);
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) log.warn({ err: error }, 'the clusters could not be looked after; it is tried again');
    }
  }
}
