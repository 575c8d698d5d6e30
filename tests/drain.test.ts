/**
 * Emptying a host of real guests while clients write to every one of them. Three hosts in namespaces: alpha is drained, bravo can seal,
 * charlie cannot. Its manager is killed in the middle. SEALIFT_DRAIN_GUESTS says how many guests; `npm run drain` takes 12.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Migration, SealiftError, type Task } from '@sealift/contract';
import { until } from '../lab/src/chaos/until.ts';
import { Fleet } from '../lab/src/fleet/fleet.ts';
import { labOf } from '../lab/src/lab/lifecycle.ts';

const guests = Number(process.env['SEALIFT_DRAIN_GUESTS'] ?? 3);
const concurrent = 2;
const modes = ['required', 'opportunistic', 'disabled'] as const;
const signal = AbortSignal.timeout(guests * 60_000);

describe('draining a host', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.up(
      labOf(`drain${process.pid % 1000}`, ['alpha', 'bravo', 'charlie']),
      {
        host: 'alpha',
        guests,
        encryption: (index) => modes[index % modes.length] ?? 'required',
        agentOptions: (host) => (host === 'charlie' ? ['--no-seal'] : []),
      },
      signal,
      () => {},
    );
  });
  after(() => fleet?.[Symbol.asyncDispose]());

  const task = (id: string): Promise<Task> => fleet.manager.getTask({ params: { task: id } }, signal);

  it('says beforehand what goes where, and changes nothing', async () => {
    const { moves, stays } = await fleet.manager.planDrain({ params: { host: 'alpha' }, body: {} }, signal);
    assert.deepEqual(stays, []);
    assert.deepEqual(moves.map(({ vm }) => vm).toSorted(), fleet.guests.map(({ name }) => name).toSorted());
    for (const { vm, to, suite, clearBecause } of moves) {
      const mode = fleet.guests.find(({ name }) => name === vm)?.encryption;
      if (mode === 'required') assert.deepEqual([to, suite], ['bravo', 'aes-256-gcm'], vm);
      if (suite === 'none') assert.ok(clearBecause, 'a clear migration says why');
    }
    assert.equal((await fleet.manager.getHost({ params: { host: 'alpha' } }, signal)).maintenance, 'none');
  });

  it('moves every guest within its limits, also where the manager is killed meanwhile, and loses nothing', async () => {
    const { id } = await fleet.manager.drainHost({ params: { host: 'alpha' }, body: { concurrent } }, signal);
    const most = watchConcurrency();
    const begun = async (): Promise<boolean> => (await fleet.migrations()).length >= 1;
    assert.ok(await until(begun, { withinMs: 60_000, everyMs: 20, signal }), 'a migration has begun');
    await fleet.killManager(async () => {});
    const ended = await until<Task>(
      async () => {
        const now = await task(id);
        return now.state !== 'running' && now;
      },
      { withinMs: guests * 40_000, everyMs: 200, signal },
    );
    assert.equal(ended?.state, 'completed', JSON.stringify(ended && { failure: ended.failure, log: ended.log }));
    assert.ok((await most.stop()) <= concurrent, 'never more at once than ordered');
    assert.deepEqual(ended?.progress, { done: guests, total: guests });

    const host = await fleet.manager.getHost({ params: { host: 'alpha' } }, signal);
    assert.deepEqual([host.maintenance, host.report?.vms], ['maintenance', []]);
    const migrations = await fleet.migrations();
    // What the manager had not told the source yet when it was killed did not happen, and is ordered again.
    const failed = migrations.filter(({ phase }) => phase !== 'completed');
    assert.ok(
      failed.length <= concurrent && failed.every(({ failure }) => /had not begun/.test(failure?.message ?? '')),
      JSON.stringify(failed),
    );
    for (const vm of await fleet.manager.listVms({}, signal)) {
      assert.equal(vm.state, 'running', vm.name);
      assert.equal(vm.problem, undefined);
      const moved = migrations.filter(({ vm: name, phase }) => name === vm.name && phase === 'completed');
      assert.equal(moved.length, 1, 'moved once');
      if (vm.encryption.mode === 'required') assert.deepEqual([vm.host, moved[0]?.suite], ['bravo', 'aes-256-gcm'], vm.name);
      if (vm.encryption.mode === 'disabled') assert.equal(moved[0]?.suite, 'none');
      if (moved[0]?.suite === 'none') assert.ok(moved[0].clearBecause, vm.name);
    }
    for (const [name, report] of await fleet.finish()) {
      assert.ok(report.acknowledgedWrites > 0, name);
      assert.deepEqual([report.lostWrites, report.wrongValues], [0, 0], name);
    }
  });

  it('places nothing on a host in maintenance until it is let out of it', async () => {
    const [{ name } = { name: '' }] = fleet.guests;
    const order = { params: { vm: name }, body: { to: 'alpha' } };
    await assert.rejects(
      fleet.manager.migrateVm(order, signal),
      (error) => error instanceof SealiftError && /maintenance/.test(error.message),
    );
    assert.equal((await fleet.manager.undrainHost({ params: { host: 'alpha' } }, signal)).maintenance, 'none');
    const plan = await fleet.manager.planMigration(order, signal);
    assert.equal(plan.to, 'alpha', plan.why);
  });

  /** Looks all the time at how many migrations go on. */
  function watchConcurrency(): { stop(): Promise<number> } {
    let stopped = false;
    const looking = (async () => {
      let most = 0;
      while (!stopped) {
        const running = await fleet.manager.listMigrations({ query: { running: true } }, signal).catch((): Migration[] => []);
        most = Math.max(most, running.length);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      return most;
    })();
    return {
      stop: () => {
        stopped = true;
        return looking;
      },
    };
  }
});
