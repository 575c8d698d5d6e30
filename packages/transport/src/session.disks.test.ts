import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { openPair } from './testing/pair.ts';

const textOf = async (socket: net.Socket): Promise<string> => Buffer.concat(await socket.toArray()).toString();

async function listening(path: string): Promise<{ server: net.Server; connected: Promise<net.Socket> }> {
  const server = net.createServer({ allowHalfOpen: true }).listen(path);
  const connected = once(server, 'connection').then(([socket]) => socket as net.Socket); // what a server says of a connection
  await once(server, 'listening');
  return { server, connected };
}

describe('channels of disks', () => {
  it("each go between places of their own, whatever QEMU's streams do, also without a byte", async () => {
    await using pair = await openPair({ channels: 5, disks: 2 });
    const at = (name: string) => path.join(pair.directory, name);
    const [first, second] = [await listening(at('disk-0')), await listening(at('disk-1'))];
    try {
      pair.destination.connectDisk(1, at('disk-1'));
      await Promise.all([pair.source.listenDisk(0, at('mirror-0')), pair.source.listenDisk(1, at('mirror-1'))]);
      await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
      // The second disk before the first, and both before QEMU has said anything.
      net.connect(at('mirror-1')).end('second');
      const arrivedSecond = await second.connected;
      assert.equal(await textOf(arrivedSecond), 'second');
      pair.destination.connectDisk(0, at('disk-0'));
      const arrivedFirst = await first.connected;
      net.connect(at('mirror-0')).end();
      assert.equal(await textOf(arrivedFirst), '');

      assert.equal(pair.arrived.length, 0, 'no disk came to QEMU');
      const streams = await pair.connectStreams(2);
      for (const [i, stream] of streams.entries()) stream.end(`memory ${i}`);
      const memory = await pair.arrivedStreams(2);
      assert.deepEqual((await Promise.all(memory.map(textOf))).toSorted(), ['memory 0', 'memory 1']);
      const totals = await pair.source.localEnded;
      assert.deepEqual(
        totals.map(({ bytes }) => bytes),
        [8, 8, 0, 6],
      );
      assert.deepEqual(await pair.destination.delivered, totals);
      for (const socket of [...memory, arrivedFirst, arrivedSecond]) socket.end();
    } finally {
      for (const { server } of [first, second]) server.close();
    }
  });

  it('fail where what takes a disk goes away before its end', async () => {
    await using pair = await openPair({ channels: 3, disks: 1 });
    const at = (name: string) => path.join(pair.directory, name);
    const taking = await listening(at('disk'));
    try {
      pair.destination.connectDisk(0, at('disk'));
      await pair.source.listenDisk(0, at('mirror'));
      const disk = net.connect(at('mirror'));
      disk.on('error', () => undefined);
      disk.write(Buffer.alloc(1 << 20));
      (await taking.connected).destroy();
      const ended = pair.destinationHeard.until((heard) => heard.failures.length > 0);
      const more = setInterval(() => disk.write(Buffer.alloc(1 << 20)), 10);
      await ended.finally(() => clearInterval(more));
      assert.equal(pair.destinationHeard.failures[0]?.code, 'local');
      disk.destroy();
    } finally {
      taking.server.close();
    }
  });
});
