/** Whole sessions while strangers call, and while hellos are spoilt, recorded and replayed: none of that costs the session anything but time. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { confirmBytes, m1Bytes, m2Bytes, recordType } from './constants.ts';
import { Attacked } from './testing/attacked.ts';
import type { Attack, Attacker, Unit } from './testing/attacker.ts';
import { answerTo, attackOn, exchanged, flipped, nothing } from './testing/attacks.ts';
import { Transport } from './transport.ts';

const transports = [new Transport({ threads: 2 }), new Transport({ threads: 2 })] as const;
after(() => Promise.all(transports.map((transport) => transport.close())));

/** Spoils hello after hello of channel 1, each in another way. */
function spoilt(type: Unit['type'], ways: readonly ((unit: Unit) => Buffer)[]): Attack {
  let way = 0;
  return attackOn({ channel: 1, type }, (unit) => ways[way++]?.(unit), ways.length);
}

/** The highest bits of M1's fields but the channel's, by which the attacker knows the connection. */
const m1Bits = [0, 8, 17 * 8, 23 * 8, 55 * 8, m1Bytes * 8 - 1];
const m2Bits = [0, 31 * 8, 32 * 8, m2Bytes * 8 - 1];
const bitsOf = (bits: readonly number[]) => bits.map((bit) => (unit: Unit) => flipped(unit.bytes, bit));

/** Sends the source's whole recorded side of a channel on a connection of the attacker's own. */
async function replay(attacker: Attacker, recorded: readonly Unit[]): Promise<Buffer> {
  return answerTo(
    await attacker.connect(),
    recorded.map(({ bytes }) => bytes),
  );
}

const recordedOf = (attacker: Attacker, channel: number): readonly Unit[] => attacker.wireOf(channel)?.came['to destination'] ?? [];

const attacks: Record<string, () => Attack> = {
  'M1 with a bit changed, one field after the other': () => spoilt('M1', bitsOf(m1Bits)),
  'M1 with the channel changed': () => attackOn({ channel: 1, type: 'M1' }, (unit) => flipped(unit.bytes, 22 * 8 + 7)),
  'garbage for M1': () => spoilt('M1', [() => randomBytes(m1Bytes), () => randomBytes(5000)]),
  'M2 with a bit changed, one field after the other': () => spoilt('M2', bitsOf(m2Bits)),
  'garbage for M2, and a public key of low order': () =>
    spoilt('M2', [() => randomBytes(m2Bytes), (unit) => Buffer.concat([Buffer.alloc(32), unit.bytes.subarray(32)])]),
  'M1 thrown back for M2': () => spoilt('M2', [({ wire }) => wire.came['to destination'][0]?.bytes.subarray(0, m2Bytes) ?? nothing]),
  'hellos that end early': () => {
    const ending = (share: number) => (unit: Unit) => {
      unit.wire.send(unit.direction, unit.bytes.subarray(0, share));
      unit.wire.finish(unit.direction);
      return nothing;
    };
    const attempts = [spoilt('M1', [0, 1, 50, m1Bytes - 1].map(ending)), spoilt('M2', [0, 1, 40, m2Bytes - 1].map(ending))];
    return (unit, attacker) => attempts.map((attack) => attack(unit, attacker)).find((result) => result !== undefined);
  },
  'connections broken as soon as they are there': () =>
    attackOn(
      { type: 'M1' },
      ({ wire }) => {
        wire.cut();
        return nothing;
      },
      9,
    ),
  'hellos of two channels in each other’s place': () => exchanged({ channel: 1, type: 'M2' }, { channel: 2, type: 'M2' }),
  'a hello and its CONFIRM replayed while the true CONFIRM is held back': () =>
    attackOn({ channel: 1, type: recordType.confirm }, async ({ bytes, wire }, attacker) => {
      const thief = await attacker.connect();
      thief.write(wire.came['to destination'][0]?.bytes ?? nothing);
      // M1 is authentic and the channel is free, so there is an answer; CONFIRM proves another key than the one that it asks for.
      const [m2] = await once(thief, 'data');
      assert.equal(m2.length, m2Bytes);
      assert.equal((await answerTo(thief, [bytes])).length, 0);
      return bytes;
    }),
  'a connection replayed whole, in the middle': () =>
    attackOn({ channel: 1, type: recordType.data, sequence: 3 }, async (_, attacker) => {
      for (const channel of [0, 1, 2]) assert.equal((await replay(attacker, recordedOf(attacker, channel))).length, 0);
      return undefined;
    }),
  'surplus and half connections, garbage in all': () =>
    attackOn({ channel: 1, type: 'M1' }, async ({ bytes }, attacker) => {
      for (const length of [0, 1, m1Bytes - 1, m1Bytes, m1Bytes + confirmBytes, 100_000]) {
        const stranger = await attacker.connect();
        if (length > 0) stranger.write(randomBytes(length));
        const named = await attacker.connect();
        named.write(bytes.subarray(0, Math.min(length, m1Bytes - 1)));
      }
      return undefined;
    }),
};

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`a session attacked from outside its confirmed channels, suite ${suite}, completes`, { concurrency: 4, timeout: 60_000 }, () => {
    for (const [name, attack] of Object.entries(attacks)) {
      it(name, async () => {
        await using attacked = await Attacked.open(attack(), { suite, transports });
        await attacked.completes();
      });
    }

    it('connections of an earlier session replayed whole', async () => {
      await using earlier = await Attacked.open(() => undefined, { suite, transports });
      await earlier.completes();
      const recorded = [0, 1, 2].map((channel) => recordedOf(earlier.attacker, channel));
      const attack = attackOn({ channel: 1, type: recordType.data }, async (_, attacker) => {
        for (const each of recorded) assert.equal((await replay(attacker, each)).length, 0);
        return undefined;
      });
      await using later = await Attacked.open(attack, { suite, transports });
      await later.completes();
    });
  });
}

describe('a flood of strangers', { timeout: 120_000 }, () => {
  const strangers = 2000;

  it(`of ${strangers} connections, before and during it, does not keep a session from completing`, async () => {
    let called = 0;
    let flood: Promise<void> | undefined;
    const call = async (attacker: Attacker, count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const socket = await attacker.connect().catch(() => undefined); // the port closes with the session
        if (!socket) return;
        called++;
        // It goes when it is sent away: descriptors are this process's at both ends.
        socket.resume().on('end', () => socket.destroy());
        const [some, all] = [10, m1Bytes];
        if (i % 3 > 0) socket.write(randomBytes(i % 3 === 1 ? some : all));
      }
    };
    const attack: Attack = async (unit, attacker) => {
      // 500 are there before any hello is through; the others keep calling while it goes on.
      if (unit.type === 'M1') {
        flood ??= call(attacker, 500);
        await flood;
      }
      // GRANT waits for the last stranger.
      if (unit.type === recordType.grant) await call(attacker, strangers - called);
      else if (unit.sequence > 0 && unit.direction === 'to destination' && called < strangers - 500) await call(attacker, 50);
      return undefined;
    };
    await using attacked = await Attacked.open(attack);
    await attacked.completes();
    assert.ok(called >= strangers, `${called} called`);
  });
});
