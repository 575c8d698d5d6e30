import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import { after, describe, it } from 'node:test';
import { openPair } from './testing/pair.ts';
import { Transport } from './transport.ts';

/** Of all that comes; the other direction of the socket is left alone, which iterating would not. */
async function digestOf(socket: net.Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (chunk) => hash.update(chunk));
  await once(socket, 'end');
  return hash.digest('hex');
}

describe('a session whose epochs are four records long', () => {
  const transports = [new Transport({ threads: 2, epochBits: 2 }), new Transport({ threads: 2, epochBits: 2 })] as const;
  after(() => Promise.all(transports.map((transport) => transport.close())));

  for (const suite of ['aes-256-gcm', 'none'] as const) {
    it(`carries its streams over many boundaries in both directions, suite ${suite}`, async () => {
      await using pair = await openPair({ suite, channels: 3, transports });
      const sent = Array.from({ length: 4 }, () => randomBytes(6 * 1024 * 1024));
      const near = await pair.connectStreams(2);
      const nearDigests = near.map(digestOf);
      near.map((socket, i) => socket.end(sent[i] ?? ''));
      const far = await pair.arrivedStreams(2);
      const farDigests = far.map(digestOf);
      far.map((socket, i) => socket.end(sent[2 + i] ?? ''));
      assert.deepEqual(
        await Promise.all([...farDigests, ...nearDigests]),
        sent.map((data) => createHash('sha256').update(data).digest('hex')),
      );
      for (const channel of [1, 2]) {
        for (const counter of ['outRecords', 'inRecords'] as const) {
          assert.ok(pair.source.statistics.get(channel, counter) > 16, 'more than four epochs');
        }
      }
      pair.source.close();
      pair.destination.close();
      await Promise.all([pair.source.ended, pair.destination.ended]);
    });
  }

  it('does not open for a peer with other epochs', async () => {
    const others = [transports[0], new Transport({ threads: 1, epochBits: 3 })] as const;
    try {
      await using pair = await openPair({ channels: 2, transports: others });
      const [stream] = await pair.connectStreams(1);
      stream?.write(randomBytes(4 * 1024 * 1024));
      await pair.arrivedStreams(1).then(([socket]) => socket?.resume());
      await pair.destinationHeard.until((heard) => heard.failures.length > 0);
      assert.equal(pair.destinationHeard.failures[0]?.code, 'record');
      assert.ok(pair.destination.statistics.get(1, 'inRecords') <= 3, 'the first epoch is one record shorter: CONFIRM was in it');
    } finally {
      await others[1].close();
    }
  });
});
