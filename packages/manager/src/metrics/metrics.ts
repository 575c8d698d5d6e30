/** What Prometheus scrapes: text exposition format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/. */
import { setImmediate as others } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Events } from '../events/events.ts';
import { Ends, type Records } from './ends.ts';
import { Fleet, type Sources } from './fleet.ts';

export interface Measured extends Sources {
  readonly migrations: Sources['migrations'] & Records;
  readonly events: Pick<Events, 'listen'>;
  readonly log: Logger;
  readonly version: string;
}

/** CPU, memory, event loop and garbage collection are the process's, whichever manager in it is asked. */
let ofProcess: Registry | undefined;
function processMetrics(): Registry {
  if (ofProcess) return ofProcess;
  ofProcess = new Registry();
  collectDefaultMetrics({ register: ofProcess });
  return ofProcess;
}

/** Everything about one manager, from its start: counters begin at 0 with it, as Prometheus expects. */
export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #registry = new Registry();
  readonly #fleet: Fleet;
  readonly #ends: Ends;
  readonly #delivered;
  readonly #watchers;

  constructor({ events, log, version, ...sources }: Measured) {
    processMetrics();
    const registers = [this.#registry];
    new Gauge({ name: 'sealift_build_info', help: 'Always 1; the version is a label', labelNames: ['version'], registers }).set(
      { version },
      1,
    );
    this.#fleet = new Fleet(this.#registry, sources);
    this.#ends = new Ends(this.#registry, sources.migrations, log);
    this.#delivered = new Counter({
      name: 'sealift_events_delivered_total',
      help: 'Events sent to those who watch the history',
      registers,
    });
    this.#watchers = new Gauge({ name: 'sealift_event_watchers', help: 'Clients that watch the history now', registers });
    events.listen(this.#ends.hear);
  }

  /** The text of a scrape, with everything that was published before. */
  async render(): Promise<string> {
    await this.#ends.counted();
    await this.#fleet.look();
    const texts: string[] = [];
    for (const registry of [this.#registry, processMetrics()]) {
      for (const { name } of registry.getMetricsAsArray()) {
        texts.push(await registry.getSingleMetricAsString(name));
        // With thousands of hosts this is a tenth of a second's work: whoever waits for the API comes in between.
        await others();
      }
    }
    return `${texts.join('\n')}\n`;
  }

  /** The same stream; what is taken from it counts as delivered. */
  async *delivering<T>(stream: AsyncGenerator<T>): AsyncGenerator<T> {
    this.#watchers.inc();
    try {
      for await (const event of stream) {
        this.#delivered.inc();
        yield event;
      }
    } finally {
      this.#watchers.dec();
    }
  }
}
