/** Channels that are opened as local streams come: docs/protocol.md "Channels on demand". */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import { after, describe, it } from 'node:test';
import { openPair, type Pair } from './testing/pair.ts';
import { Transport } from './transport.ts';

const transports = [new Transport({ threads: 2 }), new Transport({ threads: 2 })] as const;
after(() => Promise.all(transports.map((transport) => transport.close())));

const open = (eager = false) => openPair({ channels: 8, transports, onDemand: { eager } });
const all = async (socket: net.Socket): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part);
  return Buffer.concat(parts);
};
const ended = (pair: Pair) => Promise.all([pair.source.ended, pair.destination.ended]);

describe('channels on demand', () => {
  it('are opened for the streams that come, and no others', async () => {
    await using pair = await open();
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    const [first, second] = await pair.connectStreams(2);
    assert.ok(first && second);
    const data = randomBytes(3 * 1024 * 1024);
    first.end(data);
    second.end('second');
    const [farFirst, farSecond] = await pair.arrivedStreams(2);
    assert.ok(farFirst && farSecond);
    assert.deepEqual(await all(farFirst), data);
    assert.equal(String(await all(farSecond)), 'second');
    farFirst.end('answer');
    farSecond.end();
    assert.equal(String(await all(first)), 'answer');
    assert.equal(String(await all(second)), '');
    pair.source.finish();
    await ended(pair);
    assert.equal(pair.source.statistics.total(1, 'out').bytes, data.length);
    assert.deepEqual(pair.destination.statistics.total(1, 'in'), pair.source.statistics.total(1, 'out'));
    assert.equal(pair.source.bytesOnWire, pair.destination.bytesOnWire);
    assert.equal(pair.source.statistics.get(3, 'outWire'), 0);
    assert.deepEqual(
      [pair.source.usedChannels, pair.destination.usedChannels.toSorted()],
      [
        [1, 2],
        [1, 2],
      ],
    );
    assert.deepEqual([pair.sourceHeard.failures, pair.destinationHeard.failures], [[], []]);
    assert.equal(pair.sourceHeard.open.at(-1), 0);
    assert.equal(Math.max(...pair.sourceHeard.open), 2);
  });

  it('are connected in their order: bytes wait for an earlier stream that is silent still', async () => {
    await using pair = await open();
    const [first, second] = await pair.connectStreams(2);
    assert.ok(first && second);
    second.write('second');
    await pair.destinationHeard.until((heard) => heard.open.at(-1) === 2);
    first.write('first');
    const far = await pair.arrivedStreams(2);
    assert.deepEqual(await Promise.all(far.map(async (socket) => String((await once(socket, 'data'))[0]))), ['first', 'second']);
  });

  it('do not wait for an earlier stream that ended without a byte', async () => {
    await using pair = await open();
    const [first, second] = await pair.connectStreams(2);
    assert.ok(first && second);
    second.end('second');
    first.end();
    const [far] = await pair.arrivedStreams(1);
    assert.ok(far);
    assert.equal(String(await all(far.end())), 'second');
    assert.equal(String(await all(first)), '');
    await all(second);
    pair.source.finish();
    await ended(pair);
    assert.equal(pair.arrived.length, 1);
  });

  it('are connected at once where that is wished, so that the other end can speak first', async () => {
    await using pair = await open(true);
    const [first, second] = await pair.connectStreams(2);
    assert.ok(first && second);
    const far = await pair.arrivedStreams(2);
    far[0]?.end('hello');
    far[1]?.end('there');
    first.end();
    second.end();
    assert.deepEqual((await Promise.all([first, second].map(all))).map(String), ['hello', 'there']);
    for (const socket of far) assert.equal(String(await all(socket)), '');
    pair.source.finish();
    await ended(pair);
    assert.equal(pair.arrived.length, 2);
  });

  it('end with the last that is open, and none is begun after finish', async () => {
    await using pair = await open();
    const [only] = await pair.connectStreams(1);
    assert.ok(only);
    only.write('x');
    const [far] = await pair.arrivedStreams(1);
    pair.source.finish();
    for (let refused = false; !refused; ) {
      // Whoever still gets in has a channel like any other.
      const late = await pair.connectStreams(1).catch((error: NodeJS.ErrnoException) => error);
      if (Array.isArray(late)) late[0]?.end().resume();
      else refused = late.code === 'ECONNREFUSED';
    }
    assert.notEqual(pair.sourceHeard.open.at(-1), 0, 'finishing does not end what is open');
    far?.resume().end('y');
    assert.equal(String(await all(only.end())), 'y');
    await ended(pair);
  });

  it('end well without any', async () => {
    await using pair = await open();
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    pair.source.finish();
    await ended(pair);
  });

  it('fail together with a source that vanishes', async () => {
    await using pair = await open();
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    const [only] = await pair.connectStreams(1);
    only?.write('x');
    await pair.arrivedStreams(1);
    await pair.source.drop();
    await pair.destinationHeard.until((heard) => heard.failures.length > 0);
    assert.equal(pair.destinationHeard.failures[0]?.code, 'truncated');
    await assert.rejects(pair.destination.ended);
  });
});
