/**
 * As attacker.test.ts, but the attacker keeps something back, or the hosts were told different things: what only time shows. Each guest is a
 * case's own, and all wait at once.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AttemptReport, MigrationLimits, MigrationSpec } from '@sealift/contract';
import { queryRunState } from '@sealift/hypervisor';
import { type Attack, attackOn, nothing, silence, type Which } from '@sealift/transport/testing';
import { attackedMove } from '../testing/attacked-move.ts';
import { testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const [data, ping] = [0x02, 0x10];
const always = Number.POSITIVE_INFINITY;
/** QEMU's main stream, from its second record on. */
const main: Which = { direction: 'to destination', channel: 1, type: data, sequence: 2 };
const half = (length: number): number => length >> 1;

/** The source's failure, or its phase where it has none of the wire's. */
interface Case {
  readonly attack: Attack;
  readonly source: string;
  readonly destination: string;
  readonly told?: (spec: MigrationSpec) => MigrationSpec;
  readonly limits?: Partial<MigrationLimits>;
}

const broken = (channel: number): Attack =>
  attackOn(
    { channel, type: 'M1' },
    ({ wire }) => {
      wire.cut();
      return nothing;
    },
    always,
  );

const stalledData = (): Attack =>
  attackOn(main, ({ wire, direction, bytes }) => {
    wire.send(direction, bytes.subarray(0, half(bytes.length)));
    return wire.stall();
  });

const untouched: Attack = () => undefined;
/**
 * A silence is found before memory is copied. Faster, and QEMU is done while the bytes that it is rid of lie in sockets: the source has granted
 * by then, which attacker.grant.test.ts is about.
 */
const slow = { bandwidthBytesPerSecond: 4_000 };

const cases: Record<string, Case> = {
  'a data channel withheld, broken each time': { attack: broken(2), source: 'hello', destination: 'peer' },
  'channel 0 withheld, broken each time': { attack: broken(0), source: 'hello', destination: 'truncated' },
  'a data channel withheld, never answered': {
    attack: attackOn({ channel: 1, type: 'M2' }, ({ wire }) => wire.stall(), always),
    source: 'hello',
    destination: 'peer',
  },
  'another version in every hello': {
    attack: attackOn({ type: 'M1' }, ({ bytes }) => Buffer.concat([Buffer.of(2), bytes.subarray(1)]), always),
    source: 'hello',
    destination: 'hello',
  },
  'the destination told another suite': {
    attack: untouched,
    told: (spec) => ({ ...spec, suite: 'none' }),
    source: 'hello',
    destination: 'hello',
  },
  'the destination told of more channels': {
    attack: untouched,
    told: (spec) => ({ ...spec, channels: spec.channels + 1 }),
    source: 'hello',
    destination: 'hello',
  },
  'the destination told of fewer channels': {
    attack: untouched,
    told: (spec) => ({ ...spec, channels: spec.channels - 1 }),
    source: 'hello',
    destination: 'hello',
  },
  'everything stalled within a record of a data channel': {
    attack: silence(main, half),
    source: 'peer',
    destination: 'peer',
    limits: slow,
  },
  'everything stalled within a PING': {
    attack: silence({ direction: 'to source', type: ping, sequence: 2 }, half),
    source: 'peer',
    destination: 'peer',
    limits: slow,
  },
  'a data channel alone stalled within a record, until the deadline': {
    attack: stalledData(),
    source: 'migration_failed',
    destination: 'peer',
    limits: { ...slow, deadlineMs: 4_000 },
  },
};

withTwoHosts({ title: 'migrations that an attacker holds up', file: import.meta.url }, (hosts) => {
  /** The guest runs on at the source, and nothing is left of the attempt. */
  async function failing(vm: string, { attack, told, limits = {} }: Case, during?: (spec: MigrationSpec) => Promise<unknown>) {
    const { source, destination } = await hosts().boot(vm);
    const spec = testSpec(source, destination, { limits });
    const more = { ...(told && { told: told(spec) }), ...(during && { during: () => during(spec) }) };
    const moved = await attackedMove({ hosts: hosts(), source, destination, vm, spec, attack, ...more });
    assert.equal(await queryRunState(source.host.vms.vm(vm).monitor), 'running');
    assert.deepEqual(hosts().left(source, vm, spec.migration), runsHere);
    assert.deepEqual(hosts().left(destination, vm, spec.migration), nothingLeft);
    assert.equal(moved.destinationQemu, false);
    assert.ok(!moved.ran.includes('destination'));
    return moved;
  }

  const outcome = ({ phase, failure }: AttemptReport) => [phase, failure?.code];

  describe('the guest runs on at the source, and nothing is left of the attempt, with', { concurrency: true }, () => {
    for (const [i, [name, each]] of Object.entries(cases).entries()) {
      it(name, async () => {
        const moved = await failing(`held-${i}`, each);
        assert.deepEqual(outcome(moved.source), ['failed', each.source], moved.said);
        assert.deepEqual(outcome(moved.destination), ['failed', each.destination], moved.said);
      });
    }

    it('a data channel alone stalled within a record, until somebody cancels', async () => {
      const held = Promise.withResolvers<void>();
      const stall = stalledData();
      const attack: Attack = (unit, attacker) => {
        const result = stall(unit, attacker);
        if (result !== undefined) held.resolve();
        return result;
      };
      const each = { attack, source: 'cancelled', destination: 'peer', limits: slow };
      const moved = await failing('held-cancelled', each, async ({ migration }) => {
        await held.promise;
        await hosts().alpha.attempts.cancel(migration);
      });
      assert.deepEqual(outcome(moved.source), ['cancelled', 'cancelled'], moved.said);
      assert.deepEqual(outcome(moved.destination), ['failed', 'peer'], moved.said);
    });
  });
});
