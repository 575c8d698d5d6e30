import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Event, SealiftError } from '@sealift/contract';
import { FakeManager } from '../testing/fake-manager.ts';
import { start } from '../testing/run.ts';
import { event } from '../testing/samples.ts';
import { streamEvents } from './stream.ts';

const numbered = (id: number): Event => ({ ...event, id });

/** Each watching gets the next stream, an error in one breaks it off there; the last goes on until the signal. */
function source(newest: number | undefined, ...streams: (number | Error)[][]) {
  const asked: (number | undefined)[] = [];
  return {
    asked,
    listEvents: async () => (newest === undefined ? [] : [numbered(newest)]),
    async *watchEvents(input?: { lastEventId?: number }): AsyncGenerator<Event> {
      asked.push(input?.lastEventId);
      for (const each of streams.shift() ?? []) {
        if (each instanceof Error) throw each;
        yield numbered(each);
      }
    },
  };
}

async function take(count: number, events: AsyncGenerator<Event>): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) {
    const next = await events.next();
    if (next.done) break;
    ids.push(next.value.id);
  }
  return ids;
}

test('a stream that breaks goes on behind the last event: none is missed, none comes twice, and the loss is said once', async () => {
  let lost = 0;
  const manager = source(3, [4, 5, new TypeError('terminated')], [new SealiftError('manager_unreachable', 'refused')], [5, 6], [7]);
  const ids = await take(4, streamEvents(manager, { pauseMs: 1, onLost: () => lost++ }));
  assert.deepEqual(ids, [4, 5, 6, 7]);
  assert.deepEqual(manager.asked, [3, 5, 5, 6], '3 is what there was at the beginning');
  assert.equal(lost, 2);
});

test('from a number it begins behind it, and in an empty history at the beginning', async () => {
  const since = source(9, [5]);
  assert.deepEqual(await take(1, streamEvents(since, { since: 4 })), [5]);
  assert.deepEqual(since.asked, [4]);
  const empty = source(undefined, [1]);
  assert.deepEqual(await take(1, streamEvents(empty)), [1]);
  assert.deepEqual(empty.asked, [undefined]);
});

test("the manager's own answer stands, and one that was never there is told", async () => {
  await assert.rejects(take(1, streamEvents(source(1, [new SealiftError('not_found', 'no')]))), { code: 'not_found' });
  const never = source(1, [new SealiftError('manager_unreachable', 'refused')]);
  await assert.rejects(take(1, streamEvents(never, { since: 1 })), { code: 'manager_unreachable' });
});

test('on the wire it resumes by Last-Event-ID; lines are filtered, and Ctrl-C says where to go on', async () => {
  let streams = 0;
  const breaks = Promise.withResolvers<void>();
  await using manager = await FakeManager.start({
    watchEvents: async function* () {
      if (streams++ === 0) {
        yield numbered(8);
        await breaks.promise;
        throw new Error('the line breaks');
      }
      yield { ...numbered(9), subject: { vm: 'other' } };
      yield numbered(10);
      await new Promise(() => {});
    },
  });
  const { child, ended, said } = start(manager.url, ['event', 'watch', '--since', '7', '--vm', 'demo']);
  await said('  8  vm.state');
  breaks.resolve();
  await said('  10  vm.state  WARNING demo is crashed');
  child.kill('SIGINT');
  const { status, stdout, stderr } = await ended;
  assert.equal(status, 130);
  assert.deepEqual(
    stdout
      .trimEnd()
      .split('\n')
      .map((text) => Number(text.split('  ')[1])),
    [8, 10],
  );
  assert.match(stderr, /does not answer[^\n]*\nGo on from here with: sealift event watch --since 10\nleft\n$/);
  assert.deepEqual(
    manager.calls.map(({ lastEventId }) => lastEventId),
    [7, 8],
  );
});
