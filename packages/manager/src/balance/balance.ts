/** The runner of one balance: its moves in their order, as many at once as the limits allow. */
import { type Migration, type Move, SealiftError } from '@sealift/contract';
import { limitsOfAll } from '../moves/limits.ts';
import { Pace } from '../moves/pace.ts';
import { cancelAll, type Parts, partsOf, Told } from '../moves/parts.ts';
import { Slots } from '../moves/slots.ts';
import type { LiveTask } from '../tasks/live.ts';
import type { BalanceServices } from './balances.ts';

export class Balance {
  readonly #task: LiveTask;
  readonly #services: BalanceServices;
  readonly #signal: AbortSignal;
  readonly #moves: readonly Move[];
  readonly #leftOut = new Set<Move>();
  readonly #asked = new Set<string>();
  readonly #told: Told;

  /** @param signal aborted when the manager stops */
  constructor(task: LiveTask, services: BalanceServices, signal: AbortSignal) {
    this.#task = task;
    this.#services = services;
    this.#signal = signal;
    this.#told = new Told(task);
    const orders = task.stored.orders as { readonly moves: readonly Move[] } | undefined; // as the task was begun with
    this.#moves = orders?.moves ?? [];
  }

  async run(): Promise<void> {
    const { events, pace, log } = this.#services;
    const mine = new Set(this.#moves.map(({ vm }) => vm));
    const rounds = new Pace(
      events,
      ({ type, subject: { vm = '' } }) => type === 'migration.ended' && mine.has(vm),
      pace.roundMs,
      this.#signal,
    );
    this.#task.cancelled.addEventListener('abort', rounds.wake, { once: true });
    try {
      while (!this.#signal.aborted) {
        await this.#round().catch((error) => {
          if (!this.#signal.aborted)
            log.warn({ err: error, task: this.#task.id }, 'a round of a balance could not be made; it is tried again');
        });
        if (this.#task.ended) return;
        await rounds.next();
      }
    } finally {
      rounds.end();
    }
  }

  async #round(): Promise<void> {
    const { store, tasks, moving } = this.#services;
    const parts = await partsOf(this.#task.id, store);
    this.#told.tell(this.#task, parts.ended);
    if (this.#task.cancelled.aborted) {
      await cancelAll(parts.running, moving, this.#task, this.#asked);
      if (parts.running.length > 0) return;
      this.#task.say('cancelled; what has moved stays where it is');
      await tasks.end(this.#task, 'cancelled');
      return;
    }
    const begun = await this.#services.beginning.run(() => this.#beginMore(parts));
    await this.#task.progress(parts.ended.length + this.#leftOut.size, this.#moves.length);
    if (parts.running.length + begun === 0 && this.#next(parts).length === 0) await this.#end(parts.ended);
  }

  /** Moves that have neither begun nor been left out. */
  #next({ running, ended }: Parts): Move[] {
    const begun = new Set([...running, ...ended].map(({ vm }) => vm));
    return this.#moves.filter((move) => !begun.has(move.vm) && !this.#leftOut.has(move));
  }

  async #beginMore(parts: Parts): Promise<number> {
    const { store, hosts, planning } = this.#services;
    const next = this.#next(parts);
    if (next.length === 0) return 0;
    const unfinished = (await store.unfinishedMigrations()).map(({ migration }) => migration);
    const slots = new Slots(unfinished, await limitsOfAll(hosts, planning));
    let begun = 0;
    for (const move of next) {
      if (this.#task.cancelled.aborted || this.#signal.aborted) break;
      const why = await this.#notAnyMore(move);
      if (why !== undefined) {
        this.#leftOut.add(move);
        this.#task.say(`VM ${move.vm} is left where it is: ${why}`);
      } else if (slots.take(move) === undefined && (await this.#begin(move))) begun++;
    }
    return begun;
  }

  /** @returns why the move no longer makes sense, in words */
  async #notAnyMore({ vm, from, to }: Move): Promise<string | undefined> {
    const { store, hosts, planning } = this.#services;
    const known = await store.getVm(vm);
    if (!known) return 'it was removed';
    if (known.host !== from) return `it is on host ${known.host} by now`;
    const out = [from, to].find((name) => hosts.find(name)?.maintenance !== 'none');
    if (out !== undefined) return `host ${out} is in maintenance, or on its way there`;
    const { checks } = await planning.plan(vm, { to });
    return checks.find(({ verdict }) => verdict === 'fail')?.reason;
  }

  async #begin(move: Move): Promise<boolean> {
    const { vm, to } = move;
    try {
      const { id, clearBecause } = await this.#services.moving.order(vm, { to }, this.#task.id);
      const clear = clearBecause === undefined ? '' : ` WITHOUT ENCRYPTION: ${clearBecause}`;
      this.#task.say(`VM ${vm} moves to host ${to} (migration ${id})${clear}: ${move.why}`);
      return true;
    } catch (error) {
      if (!(error instanceof SealiftError) || this.#signal.aborted) throw error;
      this.#leftOut.add(move);
      this.#task.say(`VM ${vm} is left where it is: ${error.message}`);
      return false;
    }
  }

  async #end(ended: readonly Migration[]): Promise<void> {
    const { tasks } = this.#services;
    const failed = ended.filter(({ phase }) => phase !== 'completed');
    if (failed.length === 0) return tasks.end(this.#task, 'completed');
    const each = failed.map(({ vm, to, phase, failure }) => `VM ${vm} to host ${to}: ${failure?.message ?? phase}`).join('; ');
    const message = `${failed.length} of ${this.#moves.length} moves did not succeed. ${each}`;
    return tasks.end(this.#task, 'failed', {
      code: 'migration_failed',
      message,
      advice: 'See what the cluster needs now: sealift cluster balance',
    });
  }
}
