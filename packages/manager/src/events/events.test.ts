import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Event } from '@sealift/contract';
import pino from 'pino';
import { openSqlite } from '../store/sqlite.ts';
import type { News, Store } from '../store/store.ts';
import { refused } from '../testing/refused.ts';
import { Events } from './events.ts';

const silent = pino({ level: 'silent' });
const news = (message: string): Omit<News, 'at' | 'severity'> => ({ type: 'vm.state', subject: { vm: 'redis' }, message });

describe('events', () => {
  let store: Store;
  let events: Events;
  let stop: AbortController;
  beforeEach(async () => {
    store = await openSqlite(':memory:');
    events = new Events(store, silent);
    await events.open();
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await events.close();
    await store.close();
  });
  const publish = (from: number, to: number) => {
    for (let each = from; each <= to; each++) events.publish(news(`event ${each}`));
  };
  const take = async (stream: AsyncGenerator<Event>, count: number): Promise<number[]> => {
    const ids: number[] = [];
    while (ids.length < count) {
      const { value, done } = await stream.next();
      if (done) break;
      ids.push(value.id);
    }
    return ids;
  };
  const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

  it('are numbered in their order, and many at once are few commits', async () => {
    let commits = 0;
    const { history } = store;
    const add = history.addEvents.bind(history);
    history.addEvents = (all) => {
      commits++;
      return add(all);
    };
    publish(1, 1200);
    await events.written();
    assert.equal(commits, 3);
    const newest = await events.list({ limit: 2 });
    assert.deepEqual(
      newest.map(({ id, message }) => [id, message]),
      [
        [1200, 'event 1200'],
        [1199, 'event 1199'],
      ],
    );
  });

  it('reach a watcher from now on, or from where it was, each once', async () => {
    publish(1, 5);
    const live = await events.watch(undefined, stop.signal);
    const resumed = await events.watch(2, stop.signal);
    publish(6, 8);
    assert.deepEqual(await take(live, 3), [6, 7, 8]);
    assert.deepEqual(await take(resumed, 6), upTo(3, 8));
  });

  it('wait for a slow watcher in the table, not in memory', async () => {
    const slow = await events.watch(undefined, stop.signal);
    publish(1, 1);
    assert.deepEqual(await take(slow, 1), [1]);
    publish(2, 6000);
    await events.written();
    assert.deepEqual(await take(slow, 5999), upTo(2, 6000));
    publish(6001, 6001);
    assert.deepEqual(await take(slow, 1), [6001]);
  });

  it('are numbered on after a restart and after all were forgotten; who has missed some is told', async () => {
    publish(1, 3);
    await events.written();
    await store.prune({ since: Date.now() + 1000, events: 10 });
    assert.deepEqual(await events.list({}), []);
    const next = new Events(store, silent);
    await next.open();
    next.publish(news('later'));
    await next.written();
    assert.deepEqual(
      (await next.list({})).map(({ id }) => id),
      [4],
    );
    await assert.rejects(next.watch(1, stop.signal), refused('not_found', /those before event 4 are forgotten/));
    await assert.rejects(next.watch(9, stop.signal), refused('not_found', /the last one is 4/));
    assert.deepEqual(await take(await next.watch(3, stop.signal), 1), [4]);
    await next.close();
  });

  it('end the stream of a watcher that was overtaken by the pruning', async () => {
    publish(1, 1);
    const slow = await events.watch(0, stop.signal);
    assert.deepEqual(await take(slow, 1), [1]);
    publish(2, 3000);
    await events.written();
    await store.prune({ since: 0, events: 100 });
    assert.deepEqual(await take(slow, 10), []);
  });

  it('are kept while the database fails, and written when it is back', async () => {
    const { history } = store;
    const add = history.addEvents.bind(history);
    let failures = 1;
    history.addEvents = (all) => (failures-- > 0 ? Promise.reject(new Error('disk full')) : add(all));
    publish(1, 2);
    await events.written();
    assert.equal((await events.list({})).length, 2);
  });
});
