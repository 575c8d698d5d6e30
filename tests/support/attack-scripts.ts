/** What the attacker does on the way from alpha to bravo, by name, and what is to come of it. Runs in the attacker's process. */
import { randomBytes } from 'node:crypto';
import {
  type Attack,
  type Attacker,
  attackOn,
  exchanged,
  flipped,
  late,
  nothing,
  type Unit,
  type Which,
} from '../../packages/transport/src/testing/index.ts';

const [confirm, data, close, ping] = [0x01, 0x02, 0x03, 0x10];
const toDestination = { direction: 'to destination' } as const;
/** QEMU's main stream. */
const main: Which = { ...toDestination, channel: 1, type: data, sequence: 2 };
/** The guest's memory on its way: channels of multifd. */
const memory: Which = { ...toDestination, channel: 2, type: data, sequence: 12 };
const otherMemory: Which = { ...memory, channel: 3 };

export interface Script {
  /** The migration's failure code; `cancelled` where it has to be cancelled, `completed` where nothing is to come of it. */
  readonly outcome: 'record' | 'truncated' | 'peer' | 'stalled' | 'hello' | 'cancelled' | 'completed';
  /** One side notices, and breaks the other's connections by that: the word of either may be the one that counts. */
  readonly or?: 'truncated';
  /** It comes with the end of the stream: nothing is won by a slow migration. */
  readonly atTheEnd?: boolean;
  /** @param deafen keeps every answer, TCP's acknowledgements too, from the source on the unit's connection, from now on */
  readonly attack: (deafen: (unit: Unit, attacker: Attacker) => Promise<void>) => Attack;
}

const record = (attack: () => Attack): Script => ({ outcome: 'record', attack });
const truncated = (attack: () => Attack): Script => ({ outcome: 'truncated', attack });
const completed = (attack: () => Attack): Script => ({ outcome: 'completed', attack });

/** The beginning of a record, and then the end of the stream or of the connection. */
const endingAfter = (share: (length: number) => number, broken = false) =>
  truncated(() =>
    attackOn(memory, ({ wire, direction, bytes }) => {
      wire.send(direction, bytes.subarray(0, share(bytes.length)));
      if (broken) wire.cut();
      else wire.finish(direction);
      return nothing;
    }),
  );

/** The beginning of a record, and then nothing, while the connection stays. */
const stalling = (which: Which) => (): Attack =>
  attackOn(which, ({ wire, direction, bytes }) => {
    wire.send(direction, bytes.subarray(0, bytes.length >> 1));
    return wire.stall();
  });

/** A record like the one that is awaited, of the attacker's own. */
const forged = ({ bytes }: Unit): Buffer => Buffer.concat([bytes.subarray(0, 16), randomBytes(bytes.length - 16)]);

const anyOf =
  (...attacks: readonly Attack[]): Attack =>
  (unit, attacker) =>
    attacks.map((attack) => attack(unit, attacker)).find((result) => result !== undefined);

/** The source's side of a connection once more, on a connection of the attacker's own. */
async function replay(attacker: Attacker, recorded: readonly Unit[]): Promise<void> {
  const thief = await attacker.connect();
  thief.resume();
  for (const { bytes } of recorded) if (thief.writable) thief.write(bytes);
}

export const scripts: Readonly<Record<string, Script>> = {
  'a bit of a header changed': record(() => attackOn(memory, ({ bytes }) => flipped(bytes, 127))),
  'a bit of the payload changed': record(() => attackOn(memory, ({ bytes }) => flipped(bytes, 16 * 8 + 2))),
  'a bit of a tag changed': record(() => attackOn(main, ({ bytes }) => flipped(bytes, bytes.length * 8 - 1))),
  'a bit of an answer on channel 0 changed': record(() =>
    attackOn({ direction: 'to source', channel: 0, type: ping }, ({ bytes }) => flipped(bytes, 300)),
  ),
  'a record repeated': record(() => attackOn(memory, ({ bytes }) => Buffer.concat([bytes, bytes]))),
  'a record left out': record(() => attackOn(memory, () => nothing)),
  'two records in each other’s place': record(() => late(memory)),
  'records of two channels exchanged': record(() => exchanged(memory, otherMemory)),
  'garbage inserted': record(() => attackOn(memory, ({ bytes }) => Buffer.concat([randomBytes(64), bytes]))),
  'a record forged': record(() => attackOn(memory, forged)),
  'a record thrown back at its sender': record(() =>
    attackOn(memory, ({ wire, bytes }) => {
      wire.send('to source', bytes);
      return wire.stall();
    }),
  ),
  'CONFIRM changed': truncated(() => attackOn({ channel: 1, type: confirm }, ({ bytes }) => flipped(bytes, 200))),
  'the stream ended between two records': endingAfter(() => 0),
  'the stream ended within a record': endingAfter((length) => length >> 1),
  'the connection broken': endingAfter(() => 9, true),
  'the stream ended in place of CLOSE': {
    outcome: 'truncated',
    atTheEnd: true,
    attack: () =>
      attackOn({ ...toDestination, channel: 2, type: close }, ({ wire, direction }) => {
        wire.finish(direction);
        return nothing;
      }),
  },
  'a channel stalled within a record': { outcome: 'cancelled', attack: stalling(memory) },
  'channel 0 stalled within a record': {
    outcome: 'peer',
    or: 'truncated',
    attack: stalling({ direction: 'to source', channel: 0, type: ping }),
  },
  'acknowledgements withheld': {
    outcome: 'stalled',
    attack: (deafen) =>
      attackOn(memory, async (unit, attacker) => {
        await deafen(unit, attacker);
        return unit.bytes;
      }),
  },
  'a channel withheld': { outcome: 'hello', attack: () => attackOn({ type: 'M1', channel: 2 }, ({ wire }) => wire.stall(), 1000) },
  'a line that only looks on': completed(
    () =>
      ({ bytes }) =>
        bytes,
  ),
  'hellos with bits changed': completed(() =>
    anyOf(
      attackOn({ type: 'M1' }, ({ bytes }) => flipped(bytes, 690), 4),
      attackOn({ type: 'M2' }, ({ bytes }) => flipped(bytes, 9)),
    ),
  ),
  'strangers with garbage': completed(() =>
    attackOn(
      { type: 'M1' },
      async ({ bytes }, attacker) => {
        for (const garbage of [nothing, randomBytes(40), randomBytes(87), bytes.subarray(0, 86)]) {
          (await attacker.connect()).resume().write(garbage);
        }
        return bytes;
      },
      4,
    ),
  ),
  'whole connections replayed': completed(() =>
    attackOn(main, async ({ bytes }, attacker) => {
      for (const wire of attacker.wires) await replay(attacker, wire.came['to destination']);
      return bytes;
    }),
  ),
};
