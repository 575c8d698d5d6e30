/**
 * What encryption modes come to on real agents: alpha and bravo seal, charlie and delta were told not to. Every mode, between every pair of
 * them, planned and moved; what a table without hosts says of it in more cells is in packages/manager/src/planner/checks/encryption.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type EncryptionMode, type Migration, type MigrationOrder, SealiftError, type Suite } from '@sealift/contract';
import { until } from '../lab/src/chaos/until.ts';
import { Fleet } from '../lab/src/fleet/fleet.ts';
import { labOf } from '../lab/src/lab/lifecycle.ts';
import { bareVm } from '../packages/agent/src/testing/bare-vm.ts';

type HostName = 'alpha' | 'bravo' | 'charlie' | 'delta';
const seals: Readonly<Record<HostName, boolean>> = { alpha: true, bravo: true, charlie: false, delta: false };
const signal = AbortSignal.timeout(280_000);

interface Expected {
  /** Undefined: it is refused. */
  readonly suite: Suite | undefined;
  readonly because?: RegExp;
}

function expected(mode: EncryptionMode, from: HostName, to: HostName, clear: boolean): Expected {
  const both = seals[from] && seals[to];
  if (mode === 'disabled') return { suite: 'none', because: /is disabled/ };
  if (mode === 'required') return { suite: both && !clear ? 'aes-256-gcm' : undefined };
  if (clear) return { suite: 'none', because: /ordered clear/ };
  if (both) return { suite: 'aes-256-gcm' };
  return { suite: 'none', because: new RegExp(`host ${seals[from] ? to : from} cannot seal.*--no-seal`) };
}

/** From a host that seals to one that does, to one that does not, to another such, and back. */
const walk: readonly [HostName, HostName][] = [
  ['alpha', 'bravo'],
  ['bravo', 'charlie'],
  ['charlie', 'delta'],
  ['delta', 'alpha'],
];

describe('encryption modes on real agents', () => {
  let fleet: Fleet;

  before(async () => {
    const lab = labOf(`modes${process.pid % 1000}`, Object.keys(seals));
    const agentOptions = (host: string): string[] => (seals[host as HostName] ? [] : ['--no-seal']); // the lab's hosts are these
    fleet = await Fleet.up(lab, { host: 'alpha', guests: 0, encryption: () => 'opportunistic', agentOptions }, signal, () => {});
    await Promise.all([
      boot('free', 'opportunistic', 'alpha'),
      boot('open', 'disabled', 'alpha'),
      boot('secret', 'required', 'alpha'),
      boot('stuck', 'required', 'charlie'),
    ]);
  });
  after(() => fleet?.[Symbol.asyncDispose]());

  /** Without anything to boot from: it runs, and does nothing. */
  async function boot(name: string, encryption: EncryptionMode, host: HostName): Promise<void> {
    await fleet.manager.createVm({ body: { host, definition: bareVm(name, { encryption }) } }, signal);
    await fleet.manager.startVm({ params: { vm: name } }, signal);
  }

  const hostOf = async (vm: string): Promise<string> => (await fleet.manager.getVm({ params: { vm } }, signal)).host;

  /** The order is refused, and its plan says so as well. */
  async function isRefused(vm: string, body: MigrationOrder): Promise<void> {
    const host = await hostOf(vm);
    const plan = await fleet.manager.planMigration({ params: { vm }, body }, signal);
    const [check] = plan.checks.filter(({ verdict }) => verdict === 'fail');
    assert.deepEqual([plan.suite, check?.name], [undefined, 'encryption'], vm);
    assert.ok(check?.remedy);
    await assert.rejects(fleet.manager.migrateVm({ params: { vm }, body }, signal), (error) => {
      assert.ok(error instanceof SealiftError);
      assert.equal(error.code, 'encryption_required');
      assert.match(error.message, new RegExp(`${vm}.*(encrypt|seal)`, 's'));
      return true;
    });
    assert.equal(await hostOf(vm), host);
  }

  async function isMoved(vm: string, body: MigrationOrder, { suite, because }: Expected): Promise<void> {
    const plan = await fleet.manager.planMigration({ params: { vm }, body }, signal);
    const { id } = await fleet.manager.migrateVm({ params: { vm }, body }, signal);
    let ended: Migration | undefined;
    for await (const now of fleet.manager.watchMigration({ params: { migration: id } }, signal)) ended = now;
    assert.equal(ended?.phase, 'completed', JSON.stringify(ended?.failure));
    const listed = (await fleet.migrations()).find((each) => each.id === id);
    for (const said of [plan, ended, listed]) {
      assert.equal(said?.suite, suite);
      if (because) assert.match(said?.clearBecause ?? '', because);
      else assert.equal(said?.clearBecause, undefined);
    }
    assert.equal(await hostOf(vm), body.to ?? ended?.to);
  }

  for (const [from, to] of walk) {
    const does = (host: HostName) => (seals[host] ? 'seals' : 'does not seal');
    it(`${from}, which ${does(from)}, to ${to}, which ${does(to)}: each as its mode has it`, async () => {
      for (const [vm, mode] of [
        ['free', 'opportunistic'],
        ['open', 'disabled'],
      ] as const) {
        for (const clear of [true, false]) {
          const { suite, clearBecause } = await fleet.manager.planMigration({ params: { vm }, body: { to, clear } }, signal);
          const said = expected(mode, from, to, clear);
          assert.equal(suite, said.suite);
          if (said.because) assert.match(clearBecause ?? '', said.because);
        }
        await isMoved(vm, { to }, expected(mode, from, to, false));
      }
    });
  }

  for (const [vm, from, to] of [
    ['secret', 'alpha', 'bravo'],
    ['secret', 'bravo', 'charlie'],
    ['stuck', 'charlie', 'delta'],
    ['stuck', 'charlie', 'alpha'],
  ] as const) {
    const { suite } = expected('required', from, to, false);
    it(`${from} to ${to}: what must be sealed ${suite ? 'moves sealed, and not otherwise' : 'does not move'}`, async () => {
      assert.equal(await hostOf(vm), from);
      await isRefused(vm, { to, clear: true });
      if (suite) await isMoved(vm, { to }, { suite });
      else await isRefused(vm, { to });
    });
  }

  it('placed, a VM goes where it is sealed; one that must be and cannot leave stays, and is told', async () => {
    await isMoved('free', {}, { suite: 'aes-256-gcm' });
    const { to, why } = await fleet.manager.planMigration({ params: { vm: 'stuck' }, body: {} }, signal);
    assert.equal(to, undefined);
    assert.match(why, /stuck/);
  });

  it('drained, a host that does not seal keeps what must be sealed and says why; what may go clear goes', async () => {
    const params = { host: 'charlie' };
    await assert.rejects(fleet.manager.drainHost({ params, body: {} }, signal), (error) => {
      assert.ok(error instanceof SealiftError);
      assert.match(error.message, /VM stuck must be sealed.*host charlie cannot seal/);
      return true;
    });
    assert.equal((await fleet.manager.getHost({ params }, signal)).maintenance, 'none');

    await isMoved('free', { to: 'charlie' }, { suite: 'none', because: /host charlie cannot seal/ });
    const { moves, stays } = await fleet.manager.planDrain({ params, body: {} }, signal);
    assert.deepEqual([moves.map(({ vm, suite }) => [vm, suite]), stays.map(({ vm }) => vm)], [[['free', 'none']], ['stuck']]);
    const { id } = await fleet.manager.drainHost({ params, body: {} }, signal);
    const ended = async () => {
      const now = await fleet.manager.getTask({ params: { task: id } }, signal);
      return now.state !== 'running' && now;
    };
    const task = await until(ended, { withinMs: 60_000, everyMs: 100, signal });
    assert.ok(task);
    assert.equal(task.state, 'failed');
    assert.match(`${task.failure?.message} ${task.log.map(({ message }) => message)}`, /stuck.*(seal|encrypt)/s);
    assert.equal(await hostOf('stuck'), 'charlie');
    assert.notEqual(await hostOf('free'), 'charlie');
    const [moved] = (await fleet.migrations()).toReversed();
    assert.deepEqual([moved?.vm, moved?.suite, moved?.phase], ['free', 'none', 'completed']);
    assert.match(moved?.clearBecause ?? '', /host charlie cannot seal/);
  });
});
