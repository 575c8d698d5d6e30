/**
 * An attacker who sends nothing wrong but keeps something back, and hosts that were told different things. What only time can show takes its
 * time here: the sessions all wait at once.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { recordType } from './constants.ts';
import type { Attempt } from './keys/context.ts';
import { Attacked } from './testing/attacked.ts';
import type { Attack } from './testing/attacker.ts';
import { attackOn, nothing } from './testing/attacks.ts';
import { Heard, testAttempt } from './testing/pair.ts';
import { Transport } from './transport.ts';

const transports = [new Transport({ threads: 1 }), new Transport({ threads: 1 })] as const;
after(() => Promise.all(transports.map((transport) => transport.close())));

/** Lets nothing of a direction through from a unit on, without ending it. */
const stalling = (which: Parameters<typeof attackOn>[0], share = 0): Attack =>
  attackOn(which, ({ wire, direction, bytes }) => {
    wire.send(direction, bytes.subarray(0, share));
    return wire.stall();
  });

describe('a session from which something is kept back', { concurrency: true, timeout: 60_000 }, () => {
  for (const [direction, at] of [
    ['to destination', 'destination'],
    ['to source', 'source'],
  ] as const) {
    it(`fails with \`peer\` where channel 0 falls silent within a record, ${direction}`, async () => {
      await using attacked = await Attacked.open(stalling({ channel: 0, direction, type: recordType.ping }, 20), { transports });
      await attacked.fails(at, ['peer']);
      assert.ok(!attacked.talk.ran || at === 'source');
    });
  }

  it('completes where M2 of one try never comes: the source asks again', async () => {
    await using attacked = await Attacked.open(stalling({ channel: 1, type: 'M2' }), { transports });
    await attacked.completes();
  });

  it('completes where one try stays half an M1', async () => {
    await using attacked = await Attacked.open(stalling({ channel: 2, type: 'M1' }, 40), { transports });
    await attacked.completes();
  });

  const always = Number.POSITIVE_INFINITY;
  const broken: Attack = attackOn(
    { channel: 1, type: 'M1' },
    ({ wire }) => {
      wire.cut();
      return nothing;
    },
    always,
  );
  for (const [how, attack] of [
    ['broken each time', broken],
    ['left without an answer', attackOn({ channel: 1, type: 'M2' }, ({ wire }) => wire.stall(), always)],
  ] as const) {
    it(`fails with \`hello\` at its deadline where a channel is ${how}, and nobody is connected`, async () => {
      await using attacked = await Attacked.open(attack, { transports });
      await attacked.fails('source', ['hello']);
      assert.ok(!attacked.talk.ran);
    });
  }

  // Hosts that were told different things.
  const different: Record<string, Partial<Attempt>> = {
    'another suite': { suite: 'none' },
    'another version': { protocolVersion: 2 },
    'another number of channels': { channels: 3 },
    'another attempt': { attempt: 2 },
    'another source': { sourceKeyHash: Buffer.alloc(32, 9) },
    'another time to expire': { expiresAt: 2_000_000_000_001 },
  };
  for (const [name, change] of Object.entries(different)) {
    it(`confirms no channel where the two hosts were told different things: ${name}`, async () => {
      const attempt = testAttempt();
      const key = randomBytes(32);
      const [sourceHeard, destinationHeard] = [new Heard(), new Heard()];
      const listen = [{ host: '127.0.0.1', port: 0 }];
      const { session, addresses } = await transports[1].accept(attempt, Buffer.from(key), listen, destinationHeard.handlers);
      const source = transports[0].connect({ ...attempt, ...change }, key, addresses, sourceHeard.handlers);
      try {
        await assert.rejects(source.confirmed, { code: 'hello' });
        assert.deepEqual(destinationHeard.failures, []);
        assert.equal(session.bytesOnWire, 0, 'a channel was confirmed');
      } finally {
        await Promise.all([source.drop(), session.drop()]);
      }
    });
  }
});
