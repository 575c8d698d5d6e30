import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Task } from '@sealift/contract';
import pino from 'pino';
import { Events } from '../events/events.ts';
import { openSqlite } from '../store/sqlite.ts';
import { taskOf } from '../testing/history-compliance.ts';
import { definitionOf } from '../testing/records.ts';
import { refused } from '../testing/refused.ts';
import { Site } from '../testing/site.ts';
import { type Movers, Tasks } from './tasks.ts';

describe('tasks', () => {
  let site: Site;
  before(async () => {
    site = await Site.start();
  });
  after(() => site.close());
  const of = async (vm: string) => (await site.client.listTasks()).filter(({ subject }) => subject.vm === vm).reverse();

  it('are what becomes of every order, also of those that were refused', async () => {
    await site.running('redis');
    await assert.rejects(site.client.startVm({ params: { vm: 'redis' } }), refused('wrong_state', /running/));
    const tasks = await of('redis');
    assert.deepEqual(
      tasks.map(({ kind, title, state, failure }) => [kind, title, state, failure?.code]),
      [
        ['create', 'create VM redis on host alpha', 'completed', undefined],
        ['start', 'start VM redis', 'completed', undefined],
        ['start', 'start VM redis', 'failed', 'wrong_state'],
      ],
    );
    // Where there is nothing to do it to, there is no task.
    await assert.rejects(site.client.startVm({ params: { vm: 'nobody' } }), refused('not_found', /no VM nobody/));
    assert.deepEqual(await of('nobody'), []);
    const [first] = tasks;
    assert.ok(first);
    assert.deepEqual(first.progress, { done: 1, total: 1 });
    await assert.rejects(site.client.cancelTask({ params: { task: first.id } }), refused('wrong_state', /already ended: completed/));
    assert.deepEqual((await site.client.getTask({ params: { task: first.id } })).cancellable, false);
    await assert.rejects(
      site.client.getTask({ params: { task: '00000000-0000-4000-8000-000000000000' } }),
      refused('not_found', /no task 00000000/),
    );
  });

  it('are migrations, too: with their progress, their events for a log, and their cancellation', async () => {
    site.alpha.host.hold('switching-over');
    const { id } = await site.client.migrateVm({ params: { vm: 'redis' }, body: { to: 'bravo' } });
    await site.reaches(id, 'copying');
    const running = await site.client.getTask({ params: { task: id } });
    assert.deepEqual([running.kind, running.state, running.cancellable, running.progress.total], ['migrate', 'running', true, 100]);
    await site.client.cancelTask({ params: { task: id } });
    const ended = await site.ended(id);
    assert.deepEqual([ended.state, ended.failure?.code, ended.cancellable], ['cancelled', 'cancelled', false]);
    site.alpha.host.release();
    const log = ended.log.map(({ message }) => message);
    assert.match(log[0] ?? '', /VM redis is to move from host alpha to host bravo/);
    assert.match(log.join('\n'), /VM redis to host bravo: copying/);
    assert.equal(site.alpha.host.vms.get('redis')?.state, 'running');
  });

  it('and everything else that happens are events, in order, which a client takes up where it was', async () => {
    const history = (await site.client.listEvents()).reverse();
    assert.deepEqual(
      history.map(({ id }) => id),
      history.map((_, index) => index + 1),
    );
    const types = new Set(history.map(({ type }) => type));
    for (const type of ['host.added', 'vm.created', 'vm.state', 'task.started', 'task.ended', 'migration.ordered', 'migration.ended']) {
      assert.ok(types.has(type as (typeof history)[number]['type']), type); // one of the types, as this list spells them
    }
    const [middle] = history.filter(({ type }) => type === 'migration.ordered');
    assert.ok(middle);
    const seen: number[] = [];
    for await (const { id } of site.client.watchEvents({ lastEventId: middle.id })) {
      seen.push(id);
      if (id === history.length) break;
    }
    assert.deepEqual(
      seen,
      history.slice(middle.id).map(({ id }) => id),
    );
    const raw = await fetch(`${site.url}/v1/events`, { headers: { 'last-event-id': '0' } });
    const reader = raw.body?.getReader();
    assert.match(Buffer.from((await reader?.read())?.value ?? []).toString(), /^id: 1\ndata: \{"id":1,/);
    await reader?.cancel();
    const ofVm = await site.client.listEvents({ query: { vm: 'redis', limit: 2, before: history.length } });
    assert.ok(ofVm.length === 2 && ofVm.every(({ subject, id }) => subject.vm === 'redis' && id < history.length));
  });

  it('and hosts tell when they go and come back', async () => {
    const stream = site.client.watchEvents();
    const next = async (type: string) => {
      for (;;) {
        const { value, done } = await stream.next();
        if (done) throw new Error('the stream has ended');
        if (value.type === type) return value;
      }
    };
    // The stream begins with its first reading.
    const gone = next('host.unreachable');
    await site.client.createVm({ body: { host: 'alpha', definition: definitionOf('other') } });
    await site.bravo.stop();
    const { subject, severity, message } = await gone;
    assert.deepEqual([subject, severity], [{ host: 'bravo' }, 'error']);
    assert.match(message, /host bravo .* does not answer/);
    const back = next('host.connected');
    await site.bravo.start();
    assert.equal((await back).message, 'host bravo answers again');
    await stream.return(undefined);
  });
});

describe('tasks that a manager left behind', () => {
  const silent = pino({ level: 'silent' });
  const nobody: Movers = {
    unfinished: () => undefined,
    cancel: () => Promise.reject(new Error('none')),
    watch: async function* () {
      yield* [];
    },
  };

  it('of lifecycle end as failed and say what to look at; drains go on, with what was said of them', async () => {
    const store = await openSqlite(':memory:');
    const start = taskOf({ kind: 'start', title: 'start VM redis', subject: { vm: 'redis', host: 'alpha' } });
    const drain = taskOf({ cancelledAt: 3 });
    for (const task of [start, drain]) await store.history.addTask(task);
    await store.history.addToLog(drain.id, [{ at: 1, message: 'VM a has moved' }], 10);
    const events = new Events(store, silent);
    await events.open();
    const tasks = new Tasks(store, events, nobody, silent);
    const goOn = await tasks.open();
    assert.deepEqual(
      goOn.map(({ id, cancelled, entries }) => [id, cancelled.aborted, entries]),
      [[drain.id, true, [{ at: 1, message: 'VM a has moved' }]]],
    );
    const ended: Task = await tasks.get(start.id);
    assert.equal(ended.state, 'failed');
    assert.match(ended.failure?.message ?? '', /the manager was stopped before "start VM redis" had ended; it may have been done, or not/);
    assert.match(ended.failure?.advice ?? '', /sealift vm show redis/);
    await tasks.close();
    await events.close();
    await store.close();
  });
});
