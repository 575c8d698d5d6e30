/** Counts what has ended since this manager was started. The history's news say that something has; a migration's record says how. */
import { EventType, finalPhases, type Migration, Suite, TaskKind, TaskState } from '@sealift/contract';
import type { Logger } from 'pino';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { News } from '../store/store.ts';
import { clearCauseOf, clearCauses } from './clear.ts';

/** From below what a frame takes to what a client's time-out allows. */
const switchOverBuckets = [0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5];
/** From an idle VM on a fast line to the longest deadline that is usual. */
const durationBuckets = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];

const suites = Suite.anyOf.map((each) => each.const);
const kinds = TaskKind.anyOf.map((each) => each.const);
const results = TaskState.anyOf.map((each) => each.const).filter((state) => state !== 'running');

export interface Records {
  get(migration: string): Promise<Migration>;
}

export class Ends {
  readonly #records: Records;
  readonly #log: Logger;
  readonly #reading = new Set<Promise<void>>();
  readonly #migrations;
  readonly #bytes;
  readonly #switchOver;
  readonly #duration;
  readonly #cpu;
  readonly #tasks;
  readonly #events;

  constructor(registry: Registry, records: Records, log: Logger) {
    this.#records = records;
    this.#log = log;
    const registers = [registry];
    this.#migrations = new Counter({
      name: 'sealift_migrations_total',
      help: 'Migrations that have ended. clear_because: none (sealed), disabled (by mode), ordered (by an order), fallback (a host cannot seal)',
      labelNames: ['suite', 'result', 'clear_because'],
      registers,
    });
    this.#bytes = new Counter({
      name: 'sealift_migration_bytes_total',
      help: 'Bytes that completed migrations handed to TCP, headers and tags included',
      labelNames: ['suite'],
      registers,
    });
    this.#switchOver = new Histogram({
      name: 'sealift_migration_switch_over_seconds',
      help: "Of completed migrations: source vCPUs stopped to destination vCPUs running, on the source's clock. Not the guest gap, which only a client can measure",
      labelNames: ['suite'],
      buckets: switchOverBuckets,
      registers,
    });
    this.#duration = new Histogram({
      name: 'sealift_migration_duration_seconds',
      help: 'Of completed migrations: order accepted to destination running and source released',
      labelNames: ['suite'],
      buckets: durationBuckets,
      registers,
    });
    this.#cpu = new Counter({
      name: 'sealift_migration_cpu_seconds_total',
      help: "CPU time of completed migrations: QEMU's threads other than vCPUs, and the transport's",
      labelNames: ['suite', 'side', 'part'],
      registers,
    });
    this.#tasks = new Counter({
      name: 'sealift_tasks_total',
      help: 'Tasks that have ended, migrations among them',
      labelNames: ['kind', 'result'],
      registers,
    });
    this.#events = new Counter({
      name: 'sealift_events_total',
      help: 'Events of the history that were published',
      labelNames: ['type'],
      registers,
    });
    this.#beginAtZero();
  }

  /** A listener of the history: never throws. */
  readonly hear = (news: News): void => {
    this.#events.inc({ type: news.type });
    const { migration } = news.subject;
    if (news.type === 'task.ended') this.#countTask(news.data?.['kind'], news.data?.['state']);
    else if (news.type === 'migration.ended' && migration !== undefined) {
      const reading = this.#countMigration(migration).finally(() => this.#reading.delete(reading));
      this.#reading.add(reading);
    }
  };

  /** When all that was heard so far is counted. */
  async counted(): Promise<void> {
    await Promise.all(this.#reading);
  }

  /** So that the first of a kind is an increase as well. */
  #beginAtZero(): void {
    for (const suite of suites) {
      for (const clear_because of clearCauses) {
        if ((suite === 'none') === (clear_because === 'none')) continue;
        for (const result of finalPhases) this.#migrations.inc({ suite, result, clear_because }, 0);
      }
      this.#bytes.inc({ suite }, 0);
      for (const side of ['source', 'destination']) for (const part of ['qemu', 'transport']) this.#cpu.inc({ suite, side, part }, 0);
      this.#switchOver.zero({ suite });
      this.#duration.zero({ suite });
    }
    for (const kind of kinds) for (const result of results) this.#tasks.inc({ kind, result }, 0);
    for (const { const: type } of EventType.anyOf) this.#events.inc({ type }, 0);
  }

  #countTask(kind: unknown, result: unknown): void {
    const known = kinds.find((each) => each === kind);
    const ended = results.find((each) => each === result);
    if (known && ended) this.#tasks.inc({ kind: known, result: ended });
  }

  async #countMigration(id: string): Promise<void> {
    try {
      const migration = await this.#records.get(id);
      const { suite, phase: result } = migration;
      this.#migrations.inc({ suite, result, clear_because: clearCauseOf(migration) });
      this.#countTask('migrate', result === 'lost' ? 'failed' : result);
      if (migration.result) this.#measure(migration.result);
    } catch (error) {
      this.#log.error({ err: error, migration: id }, 'a migration that has ended could not be counted among the metrics');
    }
  }

  #measure({ suite, bytesOnWire, switchOverMs, migrationMs, cpuSeconds }: NonNullable<Migration['result']>): void {
    this.#bytes.inc({ suite }, bytesOnWire);
    this.#switchOver.observe({ suite }, switchOverMs / 1000);
    this.#duration.observe({ suite }, migrationMs / 1000);
    for (const side of ['source', 'destination'] as const) {
      const spent = cpuSeconds[side];
      if (!spent) continue;
      this.#cpu.inc({ suite, side, part: 'qemu' }, spent.qemu);
      this.#cpu.inc({ suite, side, part: 'transport' }, spent.transport);
    }
  }
}
