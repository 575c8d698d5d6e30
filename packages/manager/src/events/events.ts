/**
 * The event history: what was published is written in batches, one commit for all that came in meanwhile, and shown only once it is written.
 *
 *     publish ─► pending ─► commit (numbers) ─► recent ─► watchers, each with its own place
 *
 * A watcher holds a number, not a queue: one that reads slowly costs no memory, and catches up from the table. A manager that is killed loses
 * what had not been committed, some tens of milliseconds of news; the state that the news is about is committed by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Event, SealiftError } from '@sealift/contract';
import type { Logger } from 'pino';
import type { EventPage, News, Store } from '../store/store.ts';

/** News that come in for so long after the first are one commit. */
const gatherMs = 10;
/** Rows of one commit, and of one read. */
const batch = 500;
/** Kept in memory for watchers that keep up. */
const recentEvents = 2_000;
/** With the database failing for so long, what is oldest is dropped. */
const longestQueue = 50_000;
const retryMs = 500;

/** Heard at once, before the event is written; must not throw. */
type Listener = (news: News) => void;

export class Events {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #listeners = new Set<Listener>();
  #pending: News[] = [];
  /** How many were published, and how many of these are written or given up. */
  #published = 0;
  #written = 0;
  #flushing: Promise<void> | undefined;
  /** Ascending and without a gap; ends with the newest. */
  #recent: Event[] = [];
  #newest = 0;
  #grown = Promise.withResolvers<void>();
  #closed = false;

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  async open(): Promise<void> {
    this.#newest = (await this.#store.history.eventBounds()).newest;
  }

  /** Never fails and never waits. */
  publish(news: Omit<News, 'at' | 'severity'> & Partial<Pick<News, 'at' | 'severity'>>): void {
    if (this.#closed) return;
    const whole: News = { at: Date.now(), severity: 'info', ...news };
    this.#pending.push(whole);
    this.#published++;
    for (const listener of this.#listeners) listener(whole);
    this.#flushing ??= this.#flush();
  }

  /** @returns what ends it */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** When all that was published so far is written. */
  async written(): Promise<void> {
    const sofar = this.#published;
    while (this.#written < sofar && this.#flushing !== undefined) await Promise.race([this.#grown.promise, this.#flushing]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#flushing;
  }

  /** With all that was published before. */
  async list(page: EventPage): Promise<Event[]> {
    await this.written();
    return this.#store.history.listEvents(page);
  }

  /**
   * Every event behind `lastId`, without a gap or a repeat, then each as it comes; without `lastId`, from now on.
   * @throws SealiftError not_found where events behind it are forgotten, or were never there
   */
  async watch(lastId: number | undefined, signal: AbortSignal): Promise<AsyncGenerator<Event>> {
    await this.written();
    const { oldest, newest } = await this.#store.history.eventBounds();
    if (lastId !== undefined && (lastId + 1 < oldest || lastId > newest)) {
      const why = lastId > newest ? `the last one is ${newest}` : `those before event ${oldest} are forgotten`;
      const message = `the history does not go on behind event ${lastId}: ${why}. Read it anew from /v1/events/history, then watch without Last-Event-ID`;
      throw new SealiftError('not_found', message, { details: { oldest, newest } });
    }
    return this.#behind(lastId ?? newest, signal);
  }

  async *#behind(lastId: number, signal: AbortSignal): AsyncGenerator<Event> {
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => aborted.resolve(), { once: true });
    if (signal.aborted) return;
    let seen = lastId;
    while (!signal.aborted) {
      const grown = this.#grown.promise;
      const events = await this.#after(seen);
      for (const event of events) {
        // A reader that was overtaken by the pruning has a gap, and is told so by the end of its stream: coming back, it is refused.
        if (event.id !== seen + 1) return;
        yield event;
        if (signal.aborted) return;
        seen = event.id;
      }
      if (events.length === 0) await Promise.race([grown, aborted.promise]);
    }
  }

  async #after(id: number): Promise<readonly Event[]> {
    if (id >= this.#newest) return [];
    const first = this.#recent[0]?.id;
    if (first !== undefined && id + 1 >= first) return this.#recent.slice(id + 1 - first, id + 1 - first + batch);
    const events = await this.#store.history.eventsAfter(id, batch);
    // Written and not shown yet: the numbers are, the order of showing is kept all the same.
    return events.filter((event) => event.id <= this.#newest);
  }

  async #flush(): Promise<void> {
    await sleep(this.#closed ? 0 : gatherMs);
    while (this.#pending.length > 0) {
      const news = this.#pending.slice(0, batch);
      try {
        const events = await this.#store.history.addEvents(news);
        this.#pending = this.#pending.slice(news.length);
        this.#written += news.length;
        this.#show(events);
      } catch (error) {
        this.#log.error({ err: error, waiting: this.#pending.length }, 'events could not be written; it is tried again');
        if (this.#closed) break;
        const tooMany = Math.max(0, this.#pending.length - longestQueue);
        this.#pending = this.#pending.slice(tooMany);
        this.#written += tooMany;
        await sleep(retryMs);
      }
    }
    this.#flushing = undefined;
  }

  #show(events: readonly Event[]): void {
    const first = events[0];
    if (first && this.#recent.at(-1)?.id !== first.id - 1) this.#recent = [];
    this.#recent = [...this.#recent, ...events].slice(-recentEvents);
    this.#newest = events.at(-1)?.id ?? this.#newest;
    const grown = this.#grown;
    this.#grown = Promise.withResolvers();
    grown.resolve();
  }
}
