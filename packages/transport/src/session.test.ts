import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import { after, describe, it } from 'node:test';
import { openPair } from './testing/pair.ts';
import { Transport } from './transport.ts';

const MiB = 1024 * 1024;

/** Writes the whole and ends that side. */
const feed = async (socket: net.Socket, data: Buffer): Promise<void> => {
  socket.end(data);
  await once(socket, 'finish');
};

const digestOf = async (socket: net.Socket): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of socket) hash.update(chunk);
  return hash.digest('hex');
};

const transports = [new Transport({ threads: 2 }), new Transport({ threads: 2 })] as const;
after(() => Promise.all(transports.map((transport) => transport.close())));

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`a session, suite ${suite}`, () => {
    it('carries every stream whole, grants, and ends with every channel closed', async () => {
      await using pair = await openPair({ suite, transports });
      await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
      const streams = await pair.connectStreams(3);
      const sent = [5 * MiB + 1, 1, 12 * MiB].map((length) => randomBytes(length));
      const fed = streams.map((socket, i) => feed(socket, sent[i] ?? Buffer.alloc(0)));
      const arrived = await pair.arrivedStreams(3);
      const digests = await Promise.all(arrived.map(digestOf));
      await Promise.all(fed);
      assert.deepEqual(digests.toSorted(), sent.map((each) => createHash('sha256').update(each).digest('hex')).toSorted());
      assert.equal(
        digests[0],
        createHash('sha256')
          .update(sent[0] ?? '')
          .digest('hex'),
        'the main stream is connected first',
      );

      const totals = await pair.source.localEnded;
      assert.deepEqual(
        totals.map((total) => total.bytes),
        sent.map((each) => each.length),
      );
      assert.deepEqual(await pair.destination.delivered, totals);
      pair.source.grant({ runState: 'running', totals, diskWrites: [] });
      await pair.destinationHeard.until((heard) => heard.control.length > 0);
      const [grant] = pair.destinationHeard.control;
      assert.ok(grant?.type === 'grant');
      assert.deepEqual(grant.grant, { runState: 'running', totals, diskWrites: [] });
      pair.destination.running();
      await pair.sourceHeard.until((heard) => heard.control.length > 0);
      assert.equal(pair.sourceHeard.control[0]?.type, 'running');

      for (const socket of arrived) socket.end();
      pair.source.close();
      pair.destination.close();
      await Promise.all([pair.source.ended, pair.destination.ended]);
      assert.ok(pair.source.statistics.leastRtt > 0);
      assert.equal(pair.source.bytesOnWire, pair.destination.bytesOnWire);
    });

    it('carries both directions and half-closes each by itself', async () => {
      await using pair = await openPair({ suite, channels: 2, transports });
      const [near] = await pair.connectStreams(1);
      assert.ok(near);
      near.write('question');
      const [far] = await pair.arrivedStreams(1);
      assert.ok(far);
      assert.equal(String((await once(far, 'data'))[0]), 'question');
      near.end();
      far.resume();
      await once(far, 'end');
      const answer = randomBytes(3 * MiB);
      const digest = digestOf(near);
      await feed(far, answer);
      assert.equal(await digest, createHash('sha256').update(answer).digest('hex'));
    });

    it('holds back a stream whose reader is slow, and no other', async () => {
      await using pair = await openPair({ suite, channels: 3, transports });
      const [slow, quick] = await pair.connectStreams(2);
      assert.ok(slow && quick);
      slow.write(randomBytes(32 * MiB));
      const [farSlow] = await pair.arrivedStreams(1);
      farSlow?.pause();
      const data = randomBytes(8 * MiB);
      void feed(quick, data);
      const [, farQuick] = await pair.arrivedStreams(2);
      assert.ok(farQuick);
      assert.equal(await digestOf(farQuick), createHash('sha256').update(data).digest('hex'));
      assert.ok(pair.source.statistics.get(1, 'outBytes') < 32 * MiB, 'the slow stream is held back');
    });
  });
}

describe('a session that ends early', () => {
  it('tells the peer ABORTED', async () => {
    await using pair = await openPair({ transports });
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    await pair.source.abort();
    await pair.destinationHeard.until((heard) => heard.control.length > 0 || heard.failures.length > 0);
    assert.equal(pair.destinationHeard.control[0]?.type, 'aborted');
  });

  it('is truncated for a peer that vanishes', async () => {
    await using pair = await openPair({ transports });
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    await pair.source.drop();
    await pair.destinationHeard.until((heard) => heard.failures.length > 0);
    assert.equal(pair.destinationHeard.failures[0]?.code, 'truncated');
    await assert.rejects(pair.destination.delivered, { code: 'truncated' });
  });
});
