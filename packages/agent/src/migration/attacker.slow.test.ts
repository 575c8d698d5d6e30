/**
 * As attacker.test.ts, but the attacker keeps something back, or the hosts were told different things: what only time shows. Each guest is a
 * case's own, and all wait at once.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { MigrationLimits, MigrationSpec } from '@sealift/contract';
import { queryRunState } from '@sealift/hypervisor';
import { type Attack, attackOn, nothing, silence, type Which } from '@sealift/transport/testing';
import { type AttackedMove, attackedMove } from '../testing/attacked-move.ts';
import { testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const [data, ping] = [0x02, 0x10];
const always = Number.POSITIVE_INFINITY;
/** QEMU's main stream, from its second record on. */
const main: Which = { direction: 'to destination', channel: 1, type: data, sequence: 2 };
const half = (length: number): number => length >> 1;

type Codes = readonly [source: string, destination: string];

interface Case {
  readonly attack: Attack;
  /** Any of these. */
  readonly codes: readonly Codes[];
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

/** Who gives up says ABORTED, and a moment later closes its connections: the other takes notice of whichever it comes to first. */
const sourceGivesUp = (code: string): readonly Codes[] => [
  [code, 'peer'],
  [code, 'truncated'],
];
/** Whoever notices first closes its connections, and where no unit is held up the attacker hands that on. */
const eitherNotices: readonly Codes[] = [...sourceGivesUp('peer'), ['truncated', 'peer']];
const nobodyConfirms: readonly Codes[] = [['hello', 'hello']];

const untouched: Attack = () => undefined;
/**
 * A silence is found before memory is copied. Faster, and QEMU is done while the bytes that it is rid of lie in sockets: the source has granted
 * by then, which attacker.grant.test.ts is about.
 */
const slow = { bandwidthBytesPerSecond: 4_000 };

const cases: Record<string, Case> = {
  'a data channel withheld, broken each time': { attack: broken(2), codes: sourceGivesUp('hello') },
  'channel 0 withheld, broken each time': { attack: broken(0), codes: [['hello', 'truncated']] },
  'a data channel withheld, never answered': {
    attack: attackOn({ channel: 1, type: 'M2' }, ({ wire }) => wire.stall(), always),
    codes: sourceGivesUp('hello'),
  },
  'another version in every hello': {
    attack: attackOn({ type: 'M1' }, ({ bytes }) => Buffer.concat([Buffer.of(2), bytes.subarray(1)]), always),
    codes: nobodyConfirms,
  },
  'the destination told another suite': {
    attack: untouched,
    told: (spec) => ({ ...spec, suite: 'none' }),
    codes: nobodyConfirms,
  },
  'the destination told of more channels': {
    attack: untouched,
    told: (spec) => ({ ...spec, channels: spec.channels + 1 }),
    codes: nobodyConfirms,
  },
  'the destination told of fewer channels': {
    attack: untouched,
    told: (spec) => ({ ...spec, channels: spec.channels - 1 }),
    codes: nobodyConfirms,
  },
  'everything stalled within a record of a data channel': {
    attack: silence(main, half),
    codes: eitherNotices,
    limits: slow,
  },
  'everything stalled within a PING': {
    attack: silence({ direction: 'to source', type: ping, sequence: 2 }, half),
    codes: eitherNotices,
    limits: slow,
  },
  'a data channel alone stalled within a record, until the deadline': {
    attack: stalledData(),
    codes: sourceGivesUp('migration_failed'),
    // Its channels are open by then, also on a machine that has much else to do; others here wait longer.
    limits: { ...slow, deadlineMs: 8_000 },
  },
};

withTwoHosts({ title: 'migrations that an attacker holds up', file: import.meta.url }, (hosts) => {
  /** The guest runs on at the source, and nothing is left of the attempt. */
  async function failing(
    vm: string,
    { attack, told, limits = {} }: Omit<Case, 'codes'>,
    during?: (spec: MigrationSpec) => Promise<unknown>,
  ) {
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

  const isOneOf = (codes: readonly Codes[], { source, destination, said }: AttackedMove): void => {
    const found = [source, destination].map(({ failure }) => failure?.code);
    assert.ok(
      codes.some((each) => isDeepStrictEqual(each, found)),
      `${found}: ${said}`,
    );
  };

  describe('the guest runs on at the source, and nothing is left of the attempt, with', { concurrency: true }, () => {
    for (const [i, [name, each]] of Object.entries(cases).entries()) {
      it(name, async () => {
        const moved = await failing(`held-${i}`, each);
        assert.deepEqual([moved.source.phase, moved.destination.phase], ['failed', 'failed'], moved.said);
        isOneOf(each.codes, moved);
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
      const moved = await failing('held-cancelled', { attack, limits: slow }, async ({ migration }) => {
        await held.promise;
        await hosts().alpha.attempts.cancel(migration);
      });
      assert.deepEqual([moved.source.phase, moved.destination.phase], ['cancelled', 'failed'], moved.said);
      isOneOf(sourceGivesUp('cancelled'), moved);
    });
  });
});
