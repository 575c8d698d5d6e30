/**
 * As attacker.test.ts, but the attacker stays outside the confirmed channels: hellos spoilt, strangers, everything recorded and sent again. The
 * guest arrives all the same, whole; and what is sent again after the end comes to nothing.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { queryRunState } from '@sealift/hypervisor';
import { type Attack, Attacker, answerTo, attackOn, flipped, nothing, together, type Unit, type Which } from '@sealift/transport/testing';
import type { ListenAddress } from '../options.ts';
import type { RunningAgent } from '../run.ts';
import { type AttackedMove, attackedMove } from '../testing/attacked-move.ts';
import { order, testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const data = 0x02;
const m1Bits = 87 * 8;
const channels = 4;
/** QEMU's main stream, from its second record on: every channel is confirmed by then. */
const copying: Which = { direction: 'to destination', channel: 1, type: data, sequence: 2 };

/** @returns what is answered to these bytes on a connection of the attacker's own; nothing as well where nobody listens */
async function answerAfter(attacker: Attacker, sent: readonly Uint8Array[]): Promise<Buffer> {
  const thief = await attacker.connect().catch(() => undefined);
  return thief ? answerTo(thief, sent) : nothing;
}

/** The source's whole side of every channel, once more. */
async function replay(attacker: Attacker, recorded: readonly Unit[][]): Promise<void> {
  assert.equal(recorded.length, channels);
  for (const units of recorded) {
    const answer = await answerAfter(
      attacker,
      units.map(({ bytes }) => bytes),
    );
    assert.equal(answer.length, 0, 'a replayed connection was answered');
  }
}

/** Where the host would take in channels. */
function portOf({ host }: RunningAgent): ListenAddress {
  const [address] = host.migrationListen;
  assert.ok(address);
  return address;
}

const recordedOf = (attacker: Attacker): Unit[][] => attacker.wires.map((wire) => wire.came['to destination']);

/** Spoils hello after hello of channel 1, each in another place. */
const spoilt = (type: 'M1' | 'M2', bits: readonly number[]): Attack => {
  const left = [...bits];
  return attackOn({ channel: 1, type }, ({ bytes }) => flipped(bytes, left.shift() ?? 0), bits.length);
};

const attacks: Record<string, () => Attack> = {
  // Every field but M1's channel, by which the attacker knows the connection: it is the next one's.
  'hellos with bits changed, field by field': () =>
    together(spoilt('M1', [0, 8, 17 * 8, 23 * 8, 55 * 8, m1Bits - 1]), spoilt('M2', [0, 31 * 8, 32 * 8, 64 * 8 - 1])),
  'hellos with the channel changed: to another, to one too many': () =>
    together(
      attackOn({ channel: 1, type: 'M1' }, ({ bytes }) => flipped(bytes, 22 * 8 + 6)),
      attackOn({ channel: 2, type: 'M1' }, ({ bytes }) => flipped(bytes, 22 * 8)),
    ),
  'another version in each first hello': () => attackOn({ type: 'M1' }, ({ bytes }) => Buffer.concat([Buffer.of(2), bytes.subarray(1)]), 4),
  'duplicate channels: the hello of each claimed one again, and its CONFIRM': () =>
    attackOn(copying, async (_, attacker) => {
      const hellos = recordedOf(attacker).map((units) => units.slice(0, 2).map(({ bytes }) => bytes));
      for (const hello of hellos) assert.equal((await answerAfter(attacker, hello)).length, 0, 'a claimed channel was answered for');
      return undefined;
    }),
  'surplus channels: hellos for those that the migration does not have': () =>
    attackOn(copying, async ({ wire }, attacker) => {
      const m1 = wire.came['to destination'][0]?.bytes ?? nothing;
      for (const channel of [channels, channels + 1, 255, 65535]) {
        const surplus = Buffer.from(m1);
        surplus.writeUInt16BE(channel, 21);
        assert.equal((await answerAfter(attacker, [surplus])).length, 0, 'a surplus channel was answered for');
      }
      return undefined;
    }),
  'whole connections replayed': () =>
    attackOn(copying, async (_, attacker) => {
      await replay(attacker, recordedOf(attacker));
      return undefined;
    }),
  'strangers with garbage': () =>
    attackOn(
      { type: 'M1' },
      async ({ bytes }, attacker) => {
        for (const garbage of [nothing, randomBytes(40), randomBytes(87), bytes.subarray(0, 86)]) {
          (await attacker.connect()).resume().write(garbage);
        }
        return undefined;
      },
      4,
    ),
  'ten thousand strangers, between two records of its main stream': () =>
    attackOn(copying, async (_, attacker) => {
      for (let i = 0; i < 10_000; i++) {
        const stranger = await attacker.connect();
        // It goes when it is sent away: descriptors are this process's at both ends.
        stranger.resume().on('end', () => stranger.destroy());
        if (i % 3 > 0) stranger.write(randomBytes(i % 3 === 1 ? 40 : 87));
      }
      return undefined;
    }),
};

withTwoHosts({ title: 'migrations with strangers around', file: import.meta.url }, (hosts) => {
  /** The guest arrives, and nothing is left of it where it came from. */
  async function arriving(attack: Attack, bandwidthBytesPerSecond = 0): Promise<AttackedMove> {
    const { source, destination } = await hosts().endsOf('web');
    const spec = testSpec(source, destination, { channels, limits: { bandwidthBytesPerSecond } });
    const moved = await attackedMove({ hosts: hosts(), source, destination, vm: 'web', spec, attack });
    assert.deepEqual([moved.source.phase, moved.destination.phase], ['completed', 'completed'], moved.said);
    assert.equal(moved.received, 'everything');
    assert.equal(await queryRunState(destination.host.vms.vm('web').monitor), 'running');
    assert.deepEqual(hosts().left(source, 'web', spec.migration), nothingLeft);
    assert.deepEqual(hosts().left(destination, 'web', spec.migration), runsHere);
    return moved;
  }

  describe('the guest arrives whole, and nothing is left where it was, with', () => {
    for (const [name, attack] of Object.entries(attacks)) it(name, () => arriving(attack()).then(() => undefined));
  });

  describe('whole connections of a migration that has ended', () => {
    it('replayed when no migration goes on: nobody answers', async () => {
      const { attacker } = await arriving(() => undefined);
      const { source } = await hosts().endsOf('web'); // it was the destination
      await using thief = await Attacker.open(portOf(source), () => undefined);
      await replay(thief, recordedOf(attacker));
    });

    it('replayed in a later migration the same way: nobody answers, and the guest arrives', async () => {
      const { attacker } = await arriving(() => undefined);
      await arriving(() => undefined); // and back
      const again = attackOn(copying, async (_, later) => {
        await replay(later, recordedOf(attacker));
        return undefined;
      });
      await arriving(again);
    });

    for (const how of ['completed', 'failed'] as const) {
      it(`${how}, replayed after a restart of both agents with the same spec ordered again: refused by either, and nobody answers`, async () => {
        const { source, destination } = await hosts().endsOf('web');
        const spec = testSpec(source, destination, { channels, limits: { bandwidthBytesPerSecond: how === 'failed' ? 250_000 : 0 } });
        const attack = attackOn(copying, ({ bytes }) => (how === 'failed' ? flipped(bytes, 150) : bytes));
        const moved = await attackedMove({ hosts: hosts(), source, destination, vm: 'web', spec, attack });
        assert.deepEqual([moved.source.phase, moved.destination.phase], [how, how], moved.said);
        const definition = (how === 'failed' ? source : destination).host.vms.vm('web').definition;

        const [from, to] = [await hosts().restart(source), await hosts().restart(destination)];
        await assert.rejects(order(from, to, 'web', spec), { code: how === 'failed' ? 'already_exists' : 'not_found' });
        const key = { ephemeral: '', sealed: '' };
        const refused = { code: 'already_exists' };
        await assert.rejects(to.attempts.offerKey(spec), refused);
        await assert.rejects(to.attempts.incoming({ spec, key, vm: { ...definition, name: 'thief' }, peer: from.endpoint }), refused);
        await assert.rejects(from.attempts.offerKey(spec), refused);
        await assert.rejects(from.attempts.outgoing({ spec, key, vm: 'web', endpoints: ['127.0.0.2:8651'], peer: to.endpoint }), refused);

        await using thief = await Attacker.open(portOf(to), () => undefined);
        await replay(thief, recordedOf(moved.attacker));
        // Also while another spec is live there.
        const { source: next } = await hosts().endsOf('web');
        if (next === from) {
          await arriving(
            attackOn(copying, async (_, later) => {
              await replay(later, recordedOf(moved.attacker));
              return undefined;
            }),
          );
        }
        const { source: at, destination: other } = await hosts().endsOf('web');
        assert.equal(await queryRunState(at.host.vms.vm('web').monitor), 'running');
        assert.deepEqual(hosts().left(other, 'web', spec.migration), nothingLeft);
      });
    }
  });
});
