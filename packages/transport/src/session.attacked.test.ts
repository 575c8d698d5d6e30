/**
 * Whole sessions with an attacker in the middle of confirmed channels: whatever is done there, the session fails once with the right code, the
 * other side learns of it, the VM does not run, and what reached the local sockets is the beginning of what was sent.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { headerBytes, recordType } from './constants.ts';
import type { FailureCode } from './errors.ts';
import { Attacked } from './testing/attacked.ts';
import type { Attack, Unit } from './testing/attacker.ts';
import { attackOn, exchanged, flipped, late, nothing, type Which } from './testing/attacks.ts';
import { MiniDirection } from './testing/mini.ts';
import { Transport } from './transport.ts';

const transports = [new Transport({ threads: 2 }), new Transport({ threads: 2 })] as const;
after(() => Promise.all(transports.map((transport) => transport.close())));

interface Case {
  readonly name: string;
  /** Who notices. */
  readonly at: 'source' | 'destination';
  readonly codes: readonly FailureCode[];
  readonly attack: () => Attack;
  /** The attack comes when the destination has what it needs to run. What is done to the way back may always come so late. */
  readonly late?: boolean;
}

const toDestination = { direction: 'to destination' } as const;
const toSource = { direction: 'to source' } as const;
/** The second record of data of channel 1. */
const data: Which = { ...toDestination, channel: 1, type: recordType.data, sequence: 2 };
const close: Which = { ...toDestination, channel: 1, type: recordType.close };

/** What is met by whom, and how that is noticed. */
const victims: Record<string, { which: Which; at: Case['at'] }> = {
  DATA: { which: data, at: 'destination' },
  'CLOSE of a stream': { which: close, at: 'destination' },
  'a PING of the source': { which: { ...toDestination, type: recordType.ping }, at: 'destination' },
  GRANT: { which: { ...toDestination, type: recordType.grant }, at: 'destination' },
  'DATA that comes back': { which: { ...toSource, channel: 2, type: recordType.data }, at: 'source' },
  'a PING of the destination': { which: { ...toSource, type: recordType.ping }, at: 'source' },
  RUNNING: { which: { ...toSource, type: recordType.running }, at: 'source' },
};

/** Bits of a record's parts. The length's are apart: one that grew waits for more. */
const bits: Record<string, (unit: Unit) => number> = {
  type: () => 4,
  'zero byte': () => 15,
  channel: () => 31,
  'sequence number, lowest bit': () => 127,
  'sequence number, highest bit': () => 64,
  'tag, first bit': ({ bytes }) => (bytes.length - 16) * 8,
  'tag, last bit': ({ bytes }) => bytes.length * 8 - 1,
};

const changes = Object.entries(victims).flatMap(([victim, { which, ...rest }]) =>
  Object.entries(bits).map(
    ([part, bit]): Case => ({
      name: `a bit changed in ${victim}: ${part}`,
      codes: ['record'],
      attack: () => attackOn(which, (unit) => flipped(unit.bytes, bit(unit))),
      ...rest,
    }),
  ),
);

const payload = (bit: (unit: Unit) => number): Attack => attackOn(data, (unit) => flipped(unit.bytes, bit(unit)));
const payloads: Case[] = [
  { name: 'a bit changed in the payload: the first', at: 'destination', codes: ['record'], attack: () => payload(() => headerBytes * 8) },
  {
    name: 'a bit changed in the payload: the last',
    at: 'destination',
    codes: ['record'],
    attack: () => payload(({ bytes }) => (bytes.length - 16) * 8 - 1),
  },
];

const lengths: Case[] = [
  ['by one', 63],
  ['by 64 KiB', 47],
  ['beyond what is allowed', 32],
].map(([name, bit]) => ({
  name: `a length changed ${name}`,
  at: 'destination',
  codes: ['record', 'truncated'],
  attack: () => attackOn(data, (unit) => flipped(unit.bytes, Number(bit))),
}));

const sequences = Object.entries(victims).flatMap(([victim, { which, ...rest }]): Case[] => [
  {
    name: `${victim}, repeated`,
    codes: ['record'],
    attack: () => attackOn(which, ({ bytes }) => Buffer.concat([bytes, bytes])),
    ...rest,
    // It was true once.
    ...(victim === 'GRANT' && { late: true }),
  },
  {
    name: `${victim}, left out`,
    // With CLOSE left out nothing follows, so the connection's end takes its place.
    codes: victim.startsWith('CLOSE') ? ['truncated'] : ['record'],
    attack: () =>
      attackOn(which, ({ wire, direction }) => {
        if (victim.startsWith('CLOSE')) wire.finish(direction);
        return nothing;
      }),
    ...rest,
  },
]);

const places: Case[] = [
  { name: 'two records in each other’s place', at: 'destination', codes: ['record'], attack: () => late(data) },
  {
    name: 'a record of the beginning once more, later',
    at: 'destination',
    codes: ['record'],
    attack: () =>
      attackOn({ ...data, sequence: 3 }, ({ bytes, wire }) =>
        Buffer.concat([wire.came['to destination'].find(({ sequence }) => sequence === 1)?.bytes ?? nothing, bytes]),
      ),
  },
  {
    name: 'CONFIRM once more, as a record',
    at: 'destination',
    codes: ['record'],
    attack: () => attackOn({ ...toDestination, channel: 1, type: recordType.confirm }, ({ bytes }) => Buffer.concat([bytes, bytes])),
  },
  {
    name: 'records of two channels in each other’s place',
    at: 'destination',
    codes: ['record'],
    attack: () => exchanged({ ...data, sequence: 1 }, { ...data, channel: 2, sequence: 1 }),
  },
  {
    name: 'a record thrown back at its sender',
    at: 'source',
    codes: ['record'],
    attack: () =>
      attackOn(data, ({ wire, bytes }) => {
        wire.send('to source', bytes);
        return nothing;
      }),
  },
  {
    name: 'a PING thrown back in the place of the peer’s of the same number',
    at: 'source',
    codes: ['record'],
    attack: () =>
      attackOn({ ...toSource, channel: 0, type: recordType.ping, sequence: 1 }, ({ wire }) => {
        const own = wire.came['to destination'].find(({ sequence }) => sequence === 1);
        assert.ok(own);
        return own.bytes;
      }),
  },
  ...(['to destination', 'to source'] as const).map((direction): Case => {
    const at = direction === 'to source' ? 'source' : 'destination';
    return {
      name: `a forged record with the right header, ${direction}`,
      at,
      codes: ['record'],
      attack: () =>
        attackOn({ direction, channel: 1, type: recordType.data }, ({ sequence }) =>
          new MiniDirection(randomBytes(32), { start: sequence }).seal(recordType.data, 1, randomBytes(1000)),
        ),
    };
  }),
  {
    name: 'garbage between two records',
    at: 'destination',
    codes: ['record'],
    attack: () => attackOn(data, ({ bytes }) => Buffer.concat([randomBytes(100), bytes])),
  },
  {
    name: 'garbage behind M2',
    at: 'source',
    codes: ['record'],
    attack: () => attackOn({ channel: 2, type: 'M2' }, ({ bytes }) => Buffer.concat([bytes, randomBytes(100)])),
  },
  {
    name: 'a byte behind CLOSE',
    at: 'destination',
    codes: ['record'],
    attack: () => attackOn(close, ({ bytes }) => Buffer.concat([bytes, Buffer.of(0)])),
  },
  ...['a bit changed in', 'another direction’s'].map(
    (how, i): Case => ({
      // The destination says nothing and closes; so its source, which believed the channel open, finds it ended.
      name: `${how} CONFIRM`,
      at: 'source',
      codes: ['truncated'],
      attack: () =>
        attackOn({ channel: 2, type: recordType.confirm }, ({ bytes, wire }) =>
          i === 0 ? flipped(bytes, 200) : (wire.came['to source'][0]?.bytes.subarray(0, bytes.length) ?? nothing),
        ),
    }),
  ),
];

/** Where a stream is cut: how much of the unit still goes through. */
const cuts: readonly [string, Which, (length: number) => number][] = [
  ['between two records', data, () => 0],
  ['within a header', data, () => 9],
  ['between header and payload', data, () => headerBytes],
  ['within a payload', data, (length) => length >> 1],
  ['before a tag', data, (length) => length - 16],
  ['a byte before the end of a record', data, (length) => length - 1],
  ['before CLOSE', close, () => 0],
  ['within CLOSE', close, () => 20],
  ['a byte before the end of CLOSE', close, (length) => length - 1],
  ['on channel 0', { ...toDestination, type: recordType.grant }, () => 0],
  ['within GRANT', { ...toDestination, type: recordType.grant }, (length) => length - 8],
];

const truncations = cuts.flatMap(([where, which, share]): Case[] => [
  {
    name: `the stream ended ${where}`,
    at: 'destination',
    codes: ['truncated'],
    attack: () =>
      attackOn(which, ({ wire, direction, bytes }) => {
        wire.send(direction, bytes.subarray(0, share(bytes.length)));
        wire.finish(direction);
        return nothing;
      }),
  },
  {
    name: `the connection broken ${where}`,
    at: 'source',
    codes: ['truncated'],
    attack: () =>
      attackOn(which, ({ wire, direction, bytes }) => {
        wire.send(direction, bytes.subarray(0, share(bytes.length)));
        wire.cut();
        return nothing;
      }),
  },
]);

const ended: Case[] = [
  ['before a CLOSE that comes back', 1],
  ['before channel 0’s CLOSE', 0],
].map(([where, channel]) => ({
  name: `the stream to the source ended ${where}`,
  at: 'source',
  codes: ['truncated'],
  attack: () =>
    attackOn({ ...toSource, channel: Number(channel), type: recordType.close }, ({ wire, direction }) => {
      wire.finish(direction);
      return nothing;
    }),
}));

async function check({ at, codes, attack, late: mayRun }: Case, suite: 'aes-256-gcm' | 'none'): Promise<void> {
  await using attacked = await Attacked.open(attack(), { suite, transports });
  await attacked.fails(at, codes);
  if (at === 'destination' && !mayRun) assert.ok(!attacked.talk.ran, 'the destination ran the VM');
}

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`a session attacked on its confirmed channels, suite ${suite}`, { concurrency: 6, timeout: 60_000 }, () => {
    const cases = [...changes, ...lengths, ...sequences, ...places, ...truncations, ...ended];
    for (const each of suite === 'none' ? cases : [...cases, ...payloads]) it(each.name, () => check(each, suite));

    it('a record of another attempt, of the same channel, number and length', async () => {
      await using earlier = await Attacked.open(() => undefined, { suite, transports });
      await earlier.completes();
      const recorded = earlier.attacker.wireOf(1)?.came['to destination'].find(({ sequence }) => sequence === 1);
      assert.ok(recorded);
      const attack = attackOn({ ...data, sequence: 1 }, () => recorded.bytes);
      await check({ name: '', at: 'destination', codes: ['record'], attack: () => attack }, suite);
    });
  });
}
