/**
 * As attacker.test.ts, but what the attacker puts into a live migration is authentic where it comes from: another channel, direction, epoch,
 * attempt or migration. Epochs are 4 records long at both hosts, so that a small guest's migration has several.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MigrationSpec } from '@sealift/contract';
import { queryRunState } from '@sealift/hypervisor';
import { type Attack, type Attacker, attackOn, exchanged, flipped, type Unit, type Which } from '@sealift/transport/testing';
import { type AttackedMove, attackedMove } from '../testing/attacked-move.ts';
import { testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const epochBits = 2;
const [data, close, ping] = [0x02, 0x03, 0x10];
const toDestination = { direction: 'to destination' } as const;
const toSource = { direction: 'to source' } as const;
const main: Which = { ...toDestination, channel: 1, type: data };

function recorded(attacker: Attacker, channel: number, sequence: number, direction: Unit['direction'] = 'to destination'): Buffer {
  const unit = attacker.wireOf(channel)?.came[direction].find((each) => each.sequence === sequence);
  assert.ok(unit, `record ${sequence} of channel ${channel} was not recorded`);
  return Buffer.from(unit.bytes);
}

/** With the number in its header that the place asks for. */
function renumbered(record: Buffer, sequence: number): Buffer {
  record.writeBigUInt64BE(BigInt(sequence), 8);
  return record;
}

/** With the channel in its header that the place asks for. */
function readdressed(record: Buffer, channel: number): Buffer {
  record.writeUInt16BE(channel, 2);
  return record;
}

interface Case {
  readonly at: 'source' | 'destination';
  readonly channels: number;
  readonly attack: () => Attack;
}

const cases: Record<string, Case> = {
  'records of two channels in each other’s place': {
    at: 'destination',
    channels: 4,
    attack: () => exchanged({ ...main, channel: 2, sequence: 1 }, { ...main, channel: 3, sequence: 1 }),
  },
  'a record of another channel, its header made to fit': {
    at: 'destination',
    channels: 4,
    attack: () => {
      const other = Promise.withResolvers<Buffer>();
      return (unit) => {
        if (unit.type !== data || unit.sequence !== 1) return undefined;
        if (unit.wire.channel === 2) other.resolve(readdressed(Buffer.from(unit.bytes), 3));
        return unit.wire.channel === 3 ? other.promise : undefined;
      };
    },
  },
  'the CLOSE of two channels in each other’s place': {
    at: 'destination',
    channels: 4,
    attack: () => exchanged({ ...main, channel: 2, type: close }, { ...main, channel: 3, type: close }),
  },
  'a PING thrown back in the place of the peer’s of the same number': {
    at: 'source',
    channels: 2,
    attack: () => attackOn({ ...toSource, type: ping, sequence: 1 }, (_, attacker) => recorded(attacker, 0, 1)),
  },
  'a PING thrown back at the destination, its header made to fit': {
    at: 'destination',
    channels: 2,
    attack: () =>
      attackOn({ ...toDestination, type: ping, sequence: 2 }, (_, attacker) => renumbered(recorded(attacker, 0, 0, 'to source'), 2)),
  },
  'a record of an earlier epoch once more': {
    at: 'destination',
    channels: 2,
    attack: () => attackOn({ ...main, sequence: 5 }, (_, attacker) => recorded(attacker, 1, 1)),
  },
  'a record of an earlier epoch, its header made to fit': {
    at: 'destination',
    channels: 2,
    attack: () => attackOn({ ...main, sequence: 5 }, (_, attacker) => renumbered(recorded(attacker, 1, 1), 5)),
  },
  'the last record of an epoch in the place of the next one’s first': {
    at: 'destination',
    channels: 2,
    attack: () => attackOn({ ...main, sequence: 4 }, (_, attacker) => renumbered(recorded(attacker, 1, 3), 4)),
  },
};

/** Which specs an earlier move may have had that the later one's records do not belong to. */
const earlier: Record<string, (spec: MigrationSpec, another: MigrationSpec) => MigrationSpec> = {
  'an earlier migration': (_, another) => another,
  'an earlier attempt of the same migration': ({ migration }, another) => ({ ...another, migration, attempt: 2 }),
};

withTwoHosts({ title: 'migrations with records from elsewhere', file: import.meta.url, epochBits }, (hosts) => {
  // Half a second or more: so slow that the attack is noticed long before the grant, after which the source's code is another.
  const limits = { bandwidthBytesPerSecond: 250_000 };

  /** The guest runs on at the source, and nothing is left of the attempt. */
  async function failing(spec: MigrationSpec, attack: Attack, at: Case['at'], code: string): Promise<AttackedMove> {
    const { source, destination } = await hosts().endsOf('web');
    const moved = await attackedMove({ hosts: hosts(), source, destination, vm: 'web', spec, attack });
    assert.deepEqual([moved.source.phase, moved.destination.phase], ['failed', 'failed'], moved.said);
    assert.equal(moved[at].failure?.code, code, moved.said);
    assert.equal(await queryRunState(source.host.vms.vm('web').monitor), 'running');
    assert.deepEqual(hosts().left(source, 'web', spec.migration), runsHere);
    assert.deepEqual(hosts().left(destination, 'web', spec.migration), nothingLeft);
    assert.equal(moved.destinationQemu, false);
    assert.ok(!moved.ran.includes('destination'));
    return moved;
  }

  const newSpec = async (channels: number): Promise<MigrationSpec> => {
    const { source, destination } = await hosts().endsOf('web');
    return testSpec(source, destination, { channels, limits });
  };

  describe('the guest runs on at the source, and nothing is left of the attempt, after', () => {
    for (const [name, { at, channels, attack }] of Object.entries(cases)) {
      it(name, async () => {
        await failing(await newSpec(channels), attack(), at, 'record');
      });
    }

    for (const [name, specAfter] of Object.entries(earlier)) {
      for (const channel of [1, 2]) {
        it(`a record of ${name}, of the same channel (${channel}) and number`, async () => {
          const first = await newSpec(4);
          const cut = attackOn({ ...main, channel, sequence: 2 }, ({ bytes }) => flipped(bytes, 150));
          const { attacker } = await failing(first, cut, 'destination', 'record');
          const second = specAfter(first, await newSpec(4));
          const put = attackOn({ ...main, channel, sequence: 2 }, () => recorded(attacker, channel, 2));
          await failing(second, put, 'destination', 'record');
        });
      }
    }
  });
});
