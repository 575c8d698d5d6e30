/** A session over two networks: two addresses of the destination, a wire to each. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { openPair } from './testing/pair.ts';
import { WireProxy } from './testing/proxy.ts';
import type { Address } from './worker/messages.ts';

const channels = 6;

async function pairOverTwo() {
  const wires: { readonly address: Address; readonly proxy: WireProxy }[] = [];
  const pair = await openPair({
    channels,
    hosts: ['127.0.0.1', '127.0.0.2'],
    between: async (address) => {
      const [proxy, at] = await WireProxy.open(address);
      wires.push({ address, proxy });
      return at;
    },
  });
  return {
    pair,
    wires,
    [Symbol.asyncDispose]: async () => {
      await pair[Symbol.asyncDispose]();
      for (const { proxy } of wires) await proxy[Symbol.asyncDispose]();
    },
  };
}

describe('a session over two addresses', () => {
  it('spreads its channels over them in turn', async () => {
    await using over = await pairOverTwo();
    await Promise.all([over.pair.source.confirmed, over.pair.destination.confirmed]);
    assert.deepEqual(
      over.wires.map(({ address, proxy }) => [address.host, proxy.channels.toSorted()]),
      [
        ['127.0.0.1', [0, 2, 4]],
        ['127.0.0.2', [1, 3, 5]],
      ],
    );
  });

  for (const [name, which] of [
    ['that channel 0 is on', 0],
    ['that it is not on', 1],
  ] as const) {
    it(`fails as a whole, at both ends, when the network ${name} goes`, async () => {
      await using over = await pairOverTwo();
      const { pair, wires } = over;
      await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
      const streams = await pair.connectStreams(channels - 1);
      for (const stream of streams) stream.write(randomBytes(64 * 1024));
      await pair.arrivedStreams(channels - 1);
      const wire = wires[which];
      assert.ok(wire);
      for (const channel of wire.proxy.channels) wire.proxy.cut(channel);
      await Promise.all([pair.sourceHeard, pair.destinationHeard].map((side) => side.until((heard) => heard.failures.length > 0)));
      for (const side of [pair.sourceHeard, pair.destinationHeard]) {
        assert.deepEqual(
          side.failures.map(({ code }) => code),
          ['truncated'],
        );
      }
      await Promise.all([pair.source.drop(), pair.destination.drop()]);
    });
  }
});
