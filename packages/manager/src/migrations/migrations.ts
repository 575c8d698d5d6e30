/** Migrations: orders, their course, their end. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Keep, type LimitsChange, type Migration, type MigrationOrder, type ResolutionOrder, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { Hosts } from '../agents/hosts.ts';
import type { AgentLink } from '../agents/link.ts';
import type { Events } from '../events/events.ts';
import { ordered, reached, resolvedBy } from '../events/of-migrations.ts';
import { Planner } from '../planner/planner.ts';
import type { MigrationPage, Store, StoredMigration } from '../store/store.ts';
import { begin, type Parties } from './begin.ts';
import { follow } from './follow.ts';
import { LiveMigration } from './live.ts';
import type { Verdict } from './merge.ts';
import { hostOf, type Resolutions } from './resolutions.ts';
import { checkResolution, resolved, standingOf } from './resolve.ts';
import { settleOrder } from './settle-order.ts';
import { copiedDisks, timeForDisks } from './spec/disks.ts';
import { identityOf, makeSpec } from './spec/make.ts';
import { undoAt } from './undo.ts';
import { moving, notTold, over } from './words.ts';

/** After a restart migrations wait until every host has answered or failed to, but no longer than this; then so many a second are taken up. */
const hostsFirstMs = 10_000;
const takenUpPerSecond = 100;
/** How long the end waits for fresh reports of both hosts, so that who sees it also sees the VM in its place. */
const settleMs = 1_500;
/** Between two times of telling a host that cannot follow a decision yet. */
const patienceMs = 1_000;

export class Migrations {
  readonly #store: Store;
  readonly #hosts: Hosts;
  readonly #resolutions: Resolutions;
  readonly #log: Logger;
  readonly #events: Events;
  readonly #live = new Map<string, LiveMigration>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  /** Plans on what is known now, with what is under way here. */
  readonly planner: Planner;

  constructor(store: Store, hosts: Hosts, resolutions: Resolutions, log: Logger, events: Events) {
    this.#store = store;
    this.#events = events;
    this.#hosts = hosts;
    this.#resolutions = resolutions;
    this.#log = log;
    this.planner = new Planner(store, hosts, () => [...this.#live.values()].map((live) => live.current));
  }

  /** Takes up every migration that had not ended when the manager was last stopped. */
  async resume(): Promise<void> {
    const all = await this.#store.unfinishedMigrations();
    const hostsAnswered = all.length > 0 ? this.#hostsAnswered() : Promise.resolve();
    for (const [index, stored] of all.entries()) {
      const { migration } = stored;
      const live = new LiveMigration(stored);
      live.begun = true;
      this.#live.set(migration.id, live);
      this.#log.info({ migration: migration.id, vm: migration.vm }, 'taking up a migration again');
      this.#keep(this.#takeUp(live, migration.resolution, hostsAnswered, (index * 1000) / takenUpPerSecond));
    }
  }

  /** Thousands of streams that are opened at once would hold up the first answers of all hosts, and whoever asks the manager. */
  async #takeUp(live: LiveMigration, resolution: Migration['resolution'], hostsAnswered: Promise<void>, waitMs: number): Promise<void> {
    if (resolution) return this.#decideAgain(live, resolution.keep);
    await hostsAnswered;
    if (waitMs > 0) await this.#sleep(waitMs);
    if (!this.#closing.signal.aborted) await this.#follow(live, undefined);
  }

  async #hostsAnswered(): Promise<void> {
    await Promise.race([this.#hosts.settled(), this.#sleep(hostsFirstMs)]);
  }

  /** Shorter where the manager is stopped. */
  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal, ref: false }).catch(() => undefined);
  }

  /** Stops following; the migrations themselves go on. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#running);
  }

  /**
   * Checks, records and begins a migration.
   * @param parent the task that it is part of
   * @throws SealiftError for every refusal, with nothing changed
   */
  async order(vm: string, order: MigrationOrder, parent?: string): Promise<Migration> {
    const stored = { ...(await this.#plan(vm, order)), ...(parent !== undefined && { parent }) };
    // Of orders at the same moment the store lets one pass.
    while (!(await this.#store.addMigration(stored))) await this.#refuseMoving(vm);
    const { migration } = stored;
    const { id, from, to, suite, clearBecause } = migration;
    if (clearBecause === undefined) this.#log.info({ migration: id, vm, from, to, suite }, 'migration ordered');
    else this.#log.warn({ migration: id, vm, from, to, suite, clearBecause }, 'migration ordered WITHOUT ENCRYPTION');
    this.#events.publish(ordered(migration));
    const live = new LiveMigration(stored);
    this.#live.set(id, live);
    this.#keep(this.#run(live));
    return migration;
  }

  async list(page: MigrationPage = {}): Promise<Migration[]> {
    return (await this.#store.listMigrations(page)).map(({ migration }) => this.#live.get(migration.id)?.current ?? migration);
  }

  async get(id: string): Promise<Migration> {
    const live = this.#live.get(id);
    if (live) return live.current;
    return this.#stored(id);
  }

  unfinished(id: string): Migration | undefined {
    return this.#live.get(id)?.current;
  }

  async *watch(id: string, signal: AbortSignal): AsyncGenerator<Migration> {
    const live = this.#live.get(id);
    if (live) yield* live.watch(signal);
    else yield await this.get(id);
  }

  /** @throws SealiftError wrong_state where it has ended or the source has already granted the VM to the destination */
  async cancel(id: string): Promise<Migration> {
    const live = this.#live.get(id);
    if (!live) throw over(await this.get(id));
    if (!live.begun) {
      live.cancelRequested = true;
      await live.decidedToBegin.promise;
    }
    if (live.begun) {
      const { source, destination } = this.#parties(live);
      const params = { migration: id };
      try {
        await source.client.cancelAttempt({ params });
      } catch (error) {
        // A source that was never told has nothing to stop; the destination may be waiting.
        if (!(error instanceof SealiftError && error.code === 'not_found')) throw error;
        await destination.client.cancelAttempt({ params });
      }
    }
    this.#log.info({ migration: id, vm: live.current.vm }, 'migration cancelled');
    return live.current;
  }

  /** @throws SealiftError wrong_state where it has ended, has not begun, or the source has already granted the VM to the destination */
  async adjust(id: string, change: LimitsChange): Promise<Migration> {
    const live = this.#live.get(id);
    if (!live) throw over(await this.get(id));
    if (!live.begun) throw notTold(live.current);
    await this.#parties(live).source.client.adjustAttempt({ params: { migration: id }, body: change });
    this.#log.info({ migration: id, vm: live.current.vm, change }, 'limits of a migration changed');
    return live.current;
  }

  /**
   * An administrator decides whose copy is the VM. The host whose copy is kept is told first: where it answers that it cannot keep it, nothing
   * is decided. The other one is told right after, or as soon as it answers again.
   * @throws SealiftError invalid_request, wrong_state; nothing is decided then
   */
  async resolve(id: string, { keep, confirm }: ResolutionOrder): Promise<Migration> {
    const live = this.#live.get(id);
    const known = live?.current ?? (await this.get(id));
    const { vm, from, to } = known;
    if (confirm !== vm) throw new SealiftError('invalid_request', `confirm: migration ${id} moves VM ${vm}; "${confirm}" is not its name`);
    if (!live) {
      if (known.resolution?.keep === keep) return known;
      throw over(known);
    }
    if (!live.begun) throw notTold(known);
    const [source, destination] = await Promise.all([from, to].map((host) => standingOf(this.#hosts.get(host), known)));
    return live.recording.run(async () => {
      if (live.current.resolution?.keep === keep) return live.current;
      if (live.current.endedAt !== undefined) throw over(live.current);
      checkResolution(live.current, keep, source, destination);
      if (!(await this.#store.addResolution(id, keep, Date.now())))
        throw new SealiftError('wrong_state', `migration ${id} is decided already`);
      this.#log.warn({ migration: id, vm, keep, from, to }, 'an administrator decides a migration');
      await this.#decide(live, keep);
      return live.current;
    });
  }

  async #plan(vm: string, order: MigrationOrder): Promise<StoredMigration> {
    const known = await this.#store.getVm(vm);
    if (!known) throw new SealiftError('not_found', `there is no VM ${vm}`);
    await this.#refuseMoving(vm);
    const { from, to, suite, clearBecause, multifdChannels, limits } = await settleOrder(this.planner, this.#hosts, known, order);

    const source = this.#hosts.get(from).link;
    const disks = copiedDisks(await source.client.getVm({ params: { vm } }), from, limits);
    const now = Date.now();
    const spec = makeSpec({
      migration: randomUUID(),
      suite,
      source: identityOf(source),
      destination: identityOf(this.#hosts.get(to).link),
      multifdChannels,
      limits: timeForDisks(limits, order.limits, disks),
      disks,
      keepSourceDisks: order.keepSourceDisks ?? false,
      now,
    });
    return {
      spec,
      migration: {
        id: spec.migration,
        vm,
        from,
        to,
        suite,
        attempt: spec.attempt,
        phase: 'preparing',
        orderedAt: now,
        ...(clearBecause !== undefined && { clearBecause }),
      },
    };
  }

  async #refuseMoving(vm: string): Promise<void> {
    const unfinished = await this.#store.migrationOf(vm);
    if (unfinished) throw moving(unfinished.migration);
  }

  async #run(live: LiveMigration): Promise<void> {
    const { spec } = live;
    const { id, vm, from } = live.current;
    const parties = this.#parties(live);
    let doubt: SealiftError | undefined;
    try {
      const known = await this.#store.getVm(vm);
      if (known?.host !== from) throw new SealiftError('wrong_state', `VM ${vm} has just left host ${from}`);
      doubt = await begin({
        ...parties,
        spec,
        vm: known.definition,
        checkCancelled: () => {
          if (live.cancelRequested)
            throw new SealiftError('cancelled', `cancelled before host ${from} had begun; VM ${vm} stays there as it is`);
        },
        sourceIsTold: async () => {
          live.begunAt = Date.now();
          await this.#store.migrationBegins(id, live.begunAt);
        },
        undoDestination: () => this.#undo(parties.destination, id),
      });
      live.begun = true;
    } catch (error) {
      // A manager that is being stopped decides nothing any more; it asks the agents when it is back.
      if (this.#closing.signal.aborted) return;
      await this.#recordNotBegun(live, notBegun(live.current, error));
      return;
    } finally {
      live.decidedToBegin.resolve();
    }
    await this.#follow(live, doubt);
  }

  #follow(live: LiveMigration, doubt: SealiftError | undefined): Promise<void> {
    return follow({
      ...this.#parties(live),
      migration: live.current,
      channels: live.spec.channels,
      begunAt: live.begunAt,
      doubt,
      log: this.#log,
      signal: AbortSignal.any([this.#closing.signal, live.decided.signal]),
      watched: live.watched,
      record: (verdict) => this.#record(live, verdict),
    });
  }

  #record(live: LiveMigration, verdict: Verdict): Promise<void> {
    return live.recording.run(async () => {
      if (live.current.endedAt === undefined) await this.#recordNext(live, verdict);
    });
  }

  /** Until the database has taken it: nobody asks the agents about what never began, and the VM could not be moved until the next start. */
  async #recordNotBegun(live: LiveMigration, migration: Migration): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#record(live, { migration });
        return;
      } catch (error) {
        this.#log.error({ err: error, migration: migration.id }, 'the end of a migration could not be recorded; it is tried again');
        await this.#sleep(patienceMs);
      }
    }
  }

  async #recordNext(live: LiveMigration, { migration, vmHost, undoDestination }: Verdict): Promise<void> {
    const ended = migration.endedAt !== undefined;
    // Progress is not stored: a commit is an fsync, and the agents still have it after a restart.
    const news = ended || migration.phase !== live.current.phase;
    if (news) await this.#store.updateMigration(migration, vmHost);
    if (ended) {
      const { id, vm, phase, result, failure } = migration;
      this.#log.info({ migration: id, vm, phase, result, failure }, 'migration ended');
      if (undoDestination) await this.#undo(this.#parties(live).destination, id);
      await this.#refresh(migration);
      this.#live.delete(id);
    }
    live.show(migration);
    if (news) this.#events.publish(reached(migration));
  }

  /** So that who sees the end also sees the VM in its place. */
  async #refresh({ from, to }: Migration): Promise<void> {
    // Nothing keeps a host any more whose migration has ended: it may have been removed.
    const reports = Promise.all([from, to].map((host) => this.#hosts.find(host)?.refresh()));
    await Promise.race([reports, sleep(settleMs, undefined, { ref: false })]);
  }

  /**
   * Carries out a decision that is in the database.
   * @param patient waits where the kept side cannot follow yet, for as long as the manager runs
   * @throws SealiftError where the kept side cannot keep it; the decision is taken back then
   */
  async #decide(live: LiveMigration, keep: Keep, patient = false): Promise<void> {
    const { id, vm } = live.current;
    const kept = this.#hosts.get(hostOf(live.current, keep)).link;
    const { signal } = this.#closing;
    const tell = () => this.#resolutions.tell(kept, { migration: live.current, keep, side: keep }).catch(() => undefined);
    let told = await tell();
    while (patient && told?.outcome === 'later' && !signal.aborted) {
      await this.#sleep(patienceMs);
      told = await tell();
    }
    // A manager that is being stopped finds it recorded when it is back.
    if (signal.aborted)
      throw new SealiftError('internal', `the manager is being stopped; the decision about VM ${vm} is carried out after it`);
    if (told && told.outcome !== 'followed') {
      await this.#store.removeResolution(id);
      const why = `nothing is decided: host ${kept.host} cannot keep VM ${vm}, and the other copy is not touched: ${told.words}`;
      throw new SealiftError('wrong_state', why);
    }
    const { migration, vmHost } = resolved(live.current, keep, Date.now());
    await this.#store.updateMigration(migration, vmHost);
    live.decided.abort();
    this.#log.warn({ migration: id, vm, phase: migration.phase, host: vmHost }, 'migration ended by the decision of an administrator');
    this.#resolutions.expect(await this.#stored(id));
    await this.#refresh(migration);
    this.#live.delete(id);
    live.show(await this.#stored(id));
    this.#events.publish(resolvedBy(migration, keep));
    this.#events.publish(reached(migration));
  }

  /** A manager that died between recording a decision and carrying it out. */
  async #decideAgain(live: LiveMigration, keep: Keep): Promise<void> {
    try {
      await live.recording.run(() => this.#decide(live, keep, true));
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      const { id: migration, vm } = live.current;
      this.#log.error({ err: error, migration, vm, keep }, 'a decision was not carried out; the migration is followed as before');
      await this.#follow(live, undefined);
    }
  }

  async #stored(id: string): Promise<Migration> {
    const stored = await this.#store.getMigration(id);
    if (!stored) throw new SealiftError('not_found', `there is no migration ${id}`);
    return stored.migration;
  }

  /** Waits for the first try only; an agent that does not answer is told when it does. */
  #undo(link: AgentLink, migration: string): Promise<void> {
    const undo = undoAt(link, migration, this.#closing.signal, this.#log);
    this.#keep(undo.done);
    return undo.tried;
  }

  #parties({ spec }: LiveMigration): Parties {
    return { source: this.#hosts.get(spec.source.name).link, destination: this.#hosts.get(spec.destination.name).link };
  }

  #keep(work: Promise<void>): void {
    const kept = work
      .catch((error) => this.#log.error({ err: error }, 'following a migration failed unexpectedly'))
      .finally(() => this.#running.delete(kept));
    this.#running.add(kept);
  }
}

function notBegun(migration: Migration, error: unknown): Migration {
  const known =
    error instanceof SealiftError ? error : new SealiftError('internal', error instanceof Error ? error.message : String(error));
  const phase = known.code === 'cancelled' ? 'cancelled' : 'failed';
  return { ...migration, phase, endedAt: Date.now(), failure: { code: known.code, message: known.message } };
}
