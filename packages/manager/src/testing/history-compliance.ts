/** What every database must do with clusters, rules, tasks and events; part of the store's compliance suite. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';
import type { News, Store, StoredTask } from '../store/store.ts';
import { definitionOf, hostOf, migrationOf, vmOf } from './records.ts';

export const taskOf = (changes: Partial<StoredTask> = {}): StoredTask => ({
  id: randomUUID(),
  kind: 'drain',
  title: 'drain host alpha',
  subject: { host: 'alpha', cluster: 'default' },
  state: 'running',
  progress: { done: 0, total: 3 },
  startedAt: 1_767_225_600_000,
  ...changes,
});

const newsOf = (changes: Partial<News> = {}): News => ({
  at: 1_767_225_600_000,
  type: 'vm.state',
  subject: { vm: 'redis', host: 'alpha' },
  severity: 'info',
  message: 'VM redis is running',
  ...changes,
});

/** @param store the one of the test that runs, with hosts alpha and bravo */
export function historyCompliance(store: () => Store): void {
  it('has cluster default from the start, and keeps others with what they are set to', async () => {
    const { policy } = store();
    const balance = { auto: false, bandPercent: 15, restMs: 600_000 };
    const first = { name: 'default', encryption: 'opportunistic', limits: {}, balance } as const;
    assert.deepEqual(await policy.listClusters(), [first]);
    const edge = { name: 'edge', encryption: 'required', cpuBaseline: 'Nehalem-v1', limits: { perHost: 2 }, balance } as const;
    await policy.setCluster(edge);
    assert.deepEqual(await policy.getCluster('edge'), edge);
    const { cpuBaseline: _, ...plain } = edge;
    await policy.setCluster({ ...plain, limits: { perCluster: 9 } });
    assert.deepEqual(await policy.listClusters(), [first, { ...plain, limits: { perCluster: 9 } }]);
    assert.equal(await policy.getCluster('none'), undefined);
  });

  it('keeps a cluster that has a host, and takes no host for one that is gone', async () => {
    const { policy } = store();
    await policy.setCluster({ name: 'edge', encryption: 'required', limits: {}, balance: { auto: true, bandPercent: 5, restMs: 0 } });
    assert.equal(await store().addHost({ ...hostOf('charlie'), cluster: 'edge' }), true);
    assert.equal(await policy.removeCluster('edge'), false);
    assert.equal(await store().removeHost('charlie'), true);
    assert.equal(await policy.removeCluster('edge'), true);
    assert.equal(await store().addHost({ ...hostOf('charlie'), cluster: 'edge' }), false);
  });

  it('keeps rules by name', async () => {
    const { policy } = store();
    const rule = { name: 'pair', kind: 'apart', vms: ['a', 'b'], hosts: [], must: true } as const;
    await policy.setRule({ ...rule, vms: [...rule.vms], hosts: [] });
    await policy.setRule({ ...rule, vms: ['a', 'c'], hosts: [] });
    assert.deepEqual(await policy.listRules(), [{ ...rule, vms: ['a', 'c'] }]);
    assert.equal(await policy.removeRule('pair'), true);
    assert.equal(await policy.removeRule('pair'), false);
  });

  it("changes a VM's definition and a host's maintenance, and remembers both", async () => {
    await store().addVm(vmOf('redis', 'alpha'));
    await store().changeVm('redis', definitionOf('redis', { memoryMiB: 512 }));
    assert.equal((await store().getVm('redis'))?.definition.memoryMiB, 512);
    await store().setMaintenance('alpha', 'draining');
    assert.deepEqual(
      (await store().listHosts()).map(({ maintenance }) => maintenance),
      ['draining', 'none'],
    );
  });

  it('reads VMs and migrations by pages that leave none out and repeat none', async () => {
    for (const vm of ['a', 'b', 'c', 'd', 'e']) await store().addVm(vmOf(vm, vm === 'c' ? 'bravo' : 'alpha'));
    const names = async (page: Parameters<Store['listVms']>[0]) => (await store().listVms(page)).map(({ name }) => name);
    assert.deepEqual(await names({ limit: 2 }), ['a', 'b']);
    assert.deepEqual(await names({ limit: 2, after: 'b' }), ['c', 'd']);
    assert.deepEqual(await names({ limit: 2, after: 'd' }), ['e']);
    assert.deepEqual(await names({ after: 'a', host: 'alpha' }), ['b', 'd', 'e']);
    assert.deepEqual(await store().knownVms(['a', 'x', 'e']), ['a', 'e']);
    assert.equal(await store().countVms(), 5);

    // Several of the same moment: then the id decides.
    for (const vm of ['a', 'b', 'c', 'd', 'e']) await store().addMigration(migrationOf(vm, { orderedAt: vm === 'a' ? 1 : 2 }));
    const all = (await store().listMigrations()).map(({ migration }) => migration);
    const pages: string[] = [];
    for (let before: string | undefined; ; before = pages.at(-1)) {
      const page = (await store().listMigrations({ limit: 2, before })).map(({ migration }) => migration.id);
      pages.push(...page);
      if (page.length < 2) break;
    }
    assert.deepEqual(
      pages,
      all.map(({ id }) => id),
    );
    const [last] = all;
    assert.ok(last);
    await store().updateMigration({ ...last, phase: 'completed', endedAt: 3 });
    const found = async (page: Parameters<Store['listMigrations']>[0]) => (await store().listMigrations(page)).length;
    assert.deepEqual(
      await Promise.all([{ running: true }, { running: false }, { vm: 'a' }, { host: 'bravo' }, { host: 'x' }].map(found)),
      [4, 1, 1, 5, 0],
    );
  });

  it('records a task with its migration, and ends it with it', async () => {
    const { history } = store();
    const stored = { ...migrationOf('redis'), parent: randomUUID() };
    const { id } = stored.migration;
    await store().addMigration(stored);
    const task = await history.getTask(id);
    assert.deepEqual(
      [task?.kind, task?.state, task?.subject, task?.parent],
      ['migrate', 'running', { vm: 'redis', host: 'alpha', migration: id }, stored.parent],
    );
    assert.deepEqual(
      (await history.tasksOf(stored.parent)).map((each) => each.id),
      [id],
    );
    // Of two for one VM neither the second nor its task is recorded.
    const second = migrationOf('redis');
    assert.equal(await store().addMigration(second), false);
    assert.equal(await history.getTask(second.migration.id), undefined);
    const failure = { code: 'stalled', message: 'no' };
    await store().updateMigration({ ...stored.migration, phase: 'lost', endedAt: 9, failure });
    const ended = await history.getTask(id);
    assert.deepEqual([ended?.state, ended?.endedAt, ended?.failure], ['failed', 9, failure]);
  });

  it('keeps tasks with their progress, orders, cancellation and end', async () => {
    const { history } = store();
    const task = taskOf({ orders: { concurrent: 2 } });
    assert.equal(await history.addTask(task), true);
    assert.deepEqual(await history.getTask(task.id), task);
    await history.taskProgress(task.id, { done: 2, total: 4 });
    await history.cancelTask(task.id, 7);
    await history.cancelTask(task.id, 8);
    const known = { ...task, progress: { done: 2, total: 4 }, cancelledAt: 7 };
    assert.deepEqual(await history.unfinishedTasks(), [known]);
    const end = { state: 'cancelled', endedAt: 9, progress: { done: 3, total: 4 } } as const;
    await history.endTask(task.id, end);
    await history.endTask(task.id, { ...end, state: 'failed', endedAt: 10 });
    assert.deepEqual(await history.getTask(task.id), { ...known, ...end });
    assert.deepEqual(await history.unfinishedTasks(), []);
  });

  it('lets one of several drains of a host pass, and one balance of a cluster, and the next when that has ended', async () => {
    const { history } = store();
    const drains = Array.from({ length: 4 }, () => taskOf());
    const passed = await Promise.all(drains.map((task) => history.addTask(task)));
    assert.equal(passed.filter(Boolean).length, 1);
    assert.equal(await history.addTask(taskOf({ subject: { host: 'bravo' } })), true);
    const balance = taskOf({ kind: 'balance', subject: { cluster: 'default' } });
    assert.equal(await history.addTask(balance), true);
    assert.equal(await history.addTask({ ...balance, id: randomUUID() }), false);
    await history.endTask(balance.id, { state: 'completed', endedAt: 1, progress: balance.progress });
    assert.equal(await history.addTask({ ...balance, id: randomUUID() }), true);
  });

  it('lists tasks newest first, by pages and by state', async () => {
    const { history } = store();
    const tasks = [1, 2, 2, 3].map((startedAt, index) => taskOf({ kind: 'start', subject: { vm: `vm${index}` }, startedAt }));
    for (const task of tasks) await history.addTask(task);
    const all = (await history.listTasks()).map(({ id }) => id);
    assert.equal(all[0], tasks[3]?.id);
    const first = (await history.listTasks({ limit: 2 })).map(({ id }) => id);
    const rest = (await history.listTasks({ before: first[1] })).map(({ id }) => id);
    assert.deepEqual([...first, ...rest], all);
    await history.endTask(all[0] ?? '', { state: 'failed', endedAt: 9, progress: { done: 0, total: 1 } });
    assert.deepEqual(
      (await history.listTasks({ state: 'failed' })).map(({ id }) => id),
      [all[0]],
    );
  });

  it("keeps the end of a task's log", async () => {
    const { history } = store();
    const task = taskOf();
    await history.addTask(task);
    const entries = Array.from({ length: 7 }, (_, at) => ({ at, message: `line ${at}` }));
    await history.addToLog(task.id, entries.slice(0, 4), 5);
    await history.addToLog(task.id, [], 5);
    await history.addToLog(task.id, entries.slice(4), 5);
    assert.deepEqual(await history.logOf(task.id), entries.slice(2));
  });

  it('numbers events without gaps, and reads them from either end', async () => {
    const { history } = store();
    assert.deepEqual(await history.eventBounds(), { oldest: 1, newest: 0 });
    await Promise.all([
      history.addEvents([newsOf(), newsOf({ subject: {} })]),
      history.addEvents([newsOf({ data: { state: 'running' } })]),
    ]);
    const all = await history.eventsAfter(0, 10);
    assert.deepEqual(
      all.map(({ id }) => id),
      [1, 2, 3],
    );
    assert.deepEqual(await history.eventsAfter(1, 1), [all[1]]);
    assert.deepEqual(await history.listEvents({ before: 3, limit: 1 }), [all[1]]);
    assert.deepEqual((await history.listEvents({ vm: 'redis' })).length, 2);
    assert.deepEqual((await history.listEvents({ host: 'bravo' })).length, 0);
    assert.equal(all.filter(({ data }) => data?.['state'] === 'running').length, 1);
    // A write that fails leaves no gap.
    const broken = newsOf({ message: null as unknown as string }); // what no caller's types allow, for the database to refuse
    await assert.rejects(history.addEvents([broken]));
    assert.equal((await history.addEvents([newsOf()]))[0]?.id, 4);
  });

  it('forgets what is old and over, and nothing that goes on or that a host has still to hear', async () => {
    const { history } = store();
    const end = { state: 'completed', endedAt: 5, progress: { done: 1, total: 1 } } as const;
    const [old, recent, going] = [taskOf({ kind: 'start' }), taskOf({ kind: 'start' }), taskOf()];
    for (const task of [old, recent, going]) await history.addTask(task);
    await history.addToLog(old.id, [{ at: 1, message: 'x' }], 5);
    await history.endTask(old.id, end);
    await history.endTask(recent.id, { ...end, endedAt: 50 });
    const [part, over, untold, running] = ['a', 'b', 'c', 'd'].map((vm) => migrationOf(vm));
    assert.ok(part && over && untold && running);
    await store().addMigration({ ...part, parent: going.id });
    for (const each of [over, untold, running]) await store().addMigration(each);
    await store().addResolution(untold.migration.id, 'source', 4);
    for (const { migration } of [over, untold]) await store().updateMigration({ ...migration, phase: 'completed', endedAt: 5 });
    await history.addEvents([newsOf({ at: 1 }), newsOf({ at: 2 }), newsOf({ at: 20 }), newsOf({ at: 21 })]);

    while ((await store().prune({ since: 10, events: 1000 })) > 0);
    assert.deepEqual((await history.listTasks()).map(({ id }) => id).sort(), [
      ...[recent.id, going.id, part.migration.id, untold.migration.id, running.migration.id].sort(),
    ]);
    assert.deepEqual((await store().listMigrations()).map(({ migration }) => migration.vm).sort(), ['a', 'c', 'd']);
    assert.deepEqual(await history.eventBounds(), { oldest: 3, newest: 4 });
    await store().prune({ since: 0, events: 1 });
    assert.deepEqual(await history.eventBounds(), { oldest: 4, newest: 4 });
  });
}
