/** Two agents with real QEMUs settle between themselves what became of a VM whose handover was cut short. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AttemptReport, type Keep, type MigrationSpec, SealiftError } from '@sealift/contract';
import { queryRunState } from '@sealift/hypervisor';
import { formatAddress, parseAddress } from '@sealift/transport';
import { type Attack, Attacker, attackOn, nothing, type Unit, type Which } from '@sealift/transport/testing';
import type { RunningAgent } from '../run.ts';
import { follow, order, testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const grant: Which = { direction: 'to destination', channel: 0, type: 0x11 };
const running: Which = { direction: 'to source', channel: 0, type: 0x12 };
/** Nobody answers there. */
const nowhere = '127.0.0.9:1';
const challenge = Buffer.alloc(16, 1).toString('base64url');

const broken = ({ wire }: Unit): Buffer => {
  wire.cut();
  return nothing;
};
const grantCut = (): Attack => attackOn(grant, broken);
const runningCut = (): Attack => attackOn(running, broken);

withTwoHosts({ title: 'attempts in doubt between two agents', file: import.meta.url }, (hosts) => {
  interface Move {
    readonly vm: string;
    readonly source: RunningAgent;
    readonly destination: RunningAgent;
    readonly spec: MigrationSpec;
  }

  /** Orders a move through an attacker; the agents cannot reach each other's API where `apart`. */
  const move = async (vm: string, attack: Attack, apart: boolean, during: (move: Move) => Promise<void>): Promise<void> => {
    const { source, destination } = await hosts().boot(vm);
    const spec = testSpec(source, destination);
    let attacker: Attacker | undefined;
    const seenFrom = (agent: RunningAgent): RunningAgent => (apart ? { ...agent, endpoint: nowhere } : agent);
    try {
      await order(seenFrom(source), seenFrom(destination), vm, spec, async ([endpoint = '']) => {
        attacker = await Attacker.open(parseAddress(endpoint), attack);
        return [formatAddress(attacker.address)];
      });
      await during({ vm, source, destination, spec });
    } finally {
      await attacker?.[Symbol.asyncDispose]();
    }
  };

  const inDoubt = (agent: RunningAgent, { migration }: MigrationSpec): Promise<AttemptReport> =>
    follow(agent, migration, ({ phase }) => phase === 'in-doubt');

  const runsAtSourceOnly = async ({ vm, source, destination, spec }: Move): Promise<void> => {
    assert.equal(await queryRunState(source.host.vms.vm(vm).monitor), 'running');
    assert.deepEqual(hosts().left(source, vm, spec.migration), runsHere);
    assert.deepEqual(hosts().left(destination, vm, spec.migration), nothingLeft);
  };
  const runsAtDestinationOnly = async ({ vm, source, destination, spec }: Move): Promise<void> => {
    assert.equal(await queryRunState(destination.host.vms.vm(vm).monitor), 'running');
    assert.deepEqual(hosts().left(destination, vm, spec.migration), runsHere);
    assert.deepEqual(hosts().left(source, vm, spec.migration), nothingLeft);
  };

  describe('which reach each other', () => {
    it('GRANT was lost: the destination aborts, and the VM runs on at the source', () =>
      move('grant-lost', grantCut(), false, async (moving) => {
        const [ended] = await Promise.all([moving.source, moving.destination].map((agent) => follow(agent, moving.spec.migration)));
        assert.equal(ended?.phase, 'failed');
        await runsAtSourceOnly(moving);
      }));

    it('RUNNING was lost: the source hears of it and releases', () =>
      move('running-lost', runningCut(), false, async (moving) => {
        const { source, destination, spec } = moving;
        // The source has heard it by settlement, and so knows it while the destination still settles in.
        const [ended] = await Promise.all([follow(source, spec.migration), follow(destination, spec.migration)]);
        assert.equal(ended.phase, 'completed', ended.failure?.message);
        assert.equal(ended.result?.switchOverMs, undefined, 'nobody knows when it began to run there');
        await runsAtDestinationOnly(moving);
      }));
  });

  describe('which do not reach each other, by statements that somebody carries', () => {
    for (const { name, attack, phase, verdict, settled } of [
      { name: 'aborted', attack: grantCut, phase: 'failed', verdict: 'aborted', settled: runsAtSourceOnly },
      { name: 'running', attack: runningCut, phase: 'completed', verdict: 'running', settled: runsAtDestinationOnly },
    ] as const) {
      it(`${verdict}: believed of the destination only, and acted on once`, () =>
        move(`relay-${name}`, attack(), true, async (moving) => {
          const { source, destination, spec } = moving;
          await Promise.all([inDoubt(source, spec), follow(destination, spec.migration)]);
          const { statement } = await destination.attempts.settle(spec.migration, { attempt: 1, challenge });
          assert.equal(statement?.verdict, verdict);
          const tell = (its?: typeof statement) =>
            source.attempts.settle(spec.migration, { attempt: 1, challenge, ...(its && { statement: its }) });
          const own = (await tell()).statement;
          assert.equal(own?.verdict, 'granted');
          for (const forged of [
            { ...own, verdict },
            { ...statement, verdict: verdict === 'aborted' ? ('running' as const) : ('aborted' as const) },
            { ...statement, attempt: 2 },
          ]) {
            await assert.rejects(tell(forged), { code: 'not_authorised' });
          }
          assert.equal((await source.attempts.get(spec.migration)).phase, 'in-doubt', 'no forgery moved it');
          await tell(statement);
          assert.equal((await follow(source, spec.migration)).phase, phase);
          await settled(moving);
          assert.equal((await tell(statement)).statement?.verdict, phase === 'failed' ? 'aborted' : 'granted', 'a repeat changes nothing');
          await settled(moving);
        }));
    }

    it('also after both agents were restarted', () =>
      move('relay-restart', grantCut(), true, async ({ vm, source, destination, spec }) => {
        await Promise.all([inDoubt(source, spec), follow(destination, spec.migration)]);
        const [from, to] = [await hosts().restart(source), await hosts().restart(destination)];
        assert.equal((await from.attempts.get(spec.migration)).phase, 'in-doubt');
        assert.equal(from.host.vms.vm(vm).state, 'in-doubt');
        await assert.rejects(from.host.vms.start(vm), { code: 'migrating' });
        const { statement } = await to.attempts.settle(spec.migration, { attempt: 1, challenge });
        await from.attempts.settle(spec.migration, { attempt: 1, challenge, ...(statement && { statement }) });
        assert.equal((await follow(from, spec.migration)).phase, 'failed');
        await runsAtSourceOnly({ vm, source: from, destination: to, spec });
      }));
  });

  describe('which an administrator settles', () => {
    const decide = (agent: RunningAgent, { migration }: MigrationSpec, keep: Keep) =>
      agent.attempts.resolve(migration, { attempt: 1, keep });
    const refused = (code: SealiftError['code'], message?: RegExp) => (error: unknown) =>
      error instanceof SealiftError && error.code === code && (message === undefined || message.test(error.message));

    it('for the source: its copy runs, the copy at the destination is removed when it hears of it, whatever it did', () =>
      move('keep-source', runningCut(), true, async (moving) => {
        const { vm, source, destination, spec } = moving;
        await Promise.all([inDoubt(source, spec), follow(destination, spec.migration)]);
        // As long as the destination has not been told, what was risked is the case: it runs at both.
        assert.equal((await decide(source, spec, 'source')).resolved, 'source');
        assert.equal((await follow(source, spec.migration)).phase, 'failed');
        assert.equal(await queryRunState(source.host.vms.vm(vm).monitor), 'running');
        await assert.rejects(decide(source, spec, 'destination'), refused('wrong_state'));
        const to = await hosts().restart(destination);
        await decide(to, spec, 'source');
        assert.match((await to.attempts.get(spec.migration)).failure?.message ?? '', /superseded/);
        await runsAtSourceOnly({ ...moving, destination: to });
        await decide(to, spec, 'source');
        await decide(source, spec, 'source');
        await runsAtSourceOnly({ ...moving, destination: to });
        // Settled for good: a statement of before is too late.
        const { statement } = await to.attempts.settle(spec.migration, { attempt: 1, challenge });
        assert.equal(statement?.verdict, 'aborted');
      }));

    it('for the destination: the paused copy at the source is removed', () =>
      move('keep-destination', runningCut(), true, async (moving) => {
        const { source, destination, spec } = moving;
        await Promise.all([inDoubt(source, spec), follow(destination, spec.migration)]);
        await decide(destination, spec, 'destination');
        assert.equal((await decide(source, spec, 'destination')).resolved, 'destination');
        assert.equal((await follow(source, spec.migration)).phase, 'completed');
        await runsAtDestinationOnly(moving);
        await assert.rejects(decide(source, spec, 'source'), refused('wrong_state'));
        await decide(source, spec, 'destination');
      }));

    it('and cannot where nothing is in doubt, or the VM has been moved since', async () => {
      const { source, destination } = await hosts().boot('settled');
      const spec = testSpec(source, destination, { limits: { bandwidthBytesPerSecond: 20_000 } });
      await order(source, destination, 'settled', spec);
      await follow(source, spec.migration, ({ phase }) => phase === 'copying');
      await assert.rejects(decide(source, spec, 'destination'), refused('wrong_state', /not been handed over/));
      await assert.rejects(decide(destination, spec, 'destination'), refused('wrong_state', /not handed over to this host/));
      await source.attempts.adjust(spec.migration, { bandwidthBytesPerSecond: 0 });
      assert.equal((await follow(source, spec.migration)).phase, 'completed');
      await follow(destination, spec.migration);
      await assert.rejects(decide(source, spec, 'source'), refused('wrong_state', /ended/));
      const back = testSpec(destination, source);
      await order(destination, source, 'settled', back);
      assert.equal((await follow(destination, back.migration)).phase, 'completed');
      await follow(source, back.migration);
      await assert.rejects(decide(destination, spec, 'source'), refused('wrong_state', /moved by migration/));
      await assert.rejects(decide(source, { ...spec, migration: back.migration.replace(/^./, '0') }, 'source'), refused('not_found'));
      assert.equal(await queryRunState(source.host.vms.vm('settled').monitor), 'running');
    });
  });
});
