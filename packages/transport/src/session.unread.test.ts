/**
 * Local programs that close before they have read everything. QEMU does: with multifd a source may send a packet without a page behind its last
 * synchronisation, and a destination that has loaded the VM does not wait for it.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import { after, describe, it } from 'node:test';
import { openPair, type Pair } from './testing/pair.ts';
import { Transport } from './transport.ts';

const transports = [new Transport({ threads: 2 }), new Transport({ threads: 2 })] as const;
after(() => Promise.all(transports.map((transport) => transport.close())));

const length = 3 * 1024 * 1024;

/** Channel 2's reader closes: with bytes waiting for it, before more come. */
async function leave(pair: Pair, near: net.Socket): Promise<void> {
  const [, far] = await pair.arrivedStreams(2);
  assert.ok(far);
  await once(far, 'data');
  far.destroy();
  await once(far, 'close');
  near.end(randomBytes(length - 1));
}

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`a local program that closes before it has read everything, suite ${suite}`, { timeout: 60_000 }, () => {
    it('costs an attempt nothing: what comes is checked and counted', async () => {
      await using pair = await openPair({ suite, channels: 3, transports });
      const [main, near] = await pair.connectStreams(2);
      assert.ok(main && near);
      main.end('main');
      near.write('!');
      const [farMain] = await pair.arrivedStreams(1);
      farMain?.resume();
      await leave(pair, near);
      const totals = await pair.source.localEnded;
      assert.equal(totals[1]?.bytes, length);
      assert.deepEqual(await pair.destination.delivered, totals);
      farMain?.end();
      pair.source.close();
      pair.destination.close();
      await Promise.all([pair.source.ended, pair.destination.ended]);
      assert.deepEqual([pair.sourceHeard.failures, pair.destinationHeard.failures], [[], []]);
    });

    it('fails channels on demand, unless their end was told that it may', async () => {
      for (const mayCloseEarly of [false, true]) {
        await using pair = await openPair({ suite, channels: 3, transports, onDemand: { mayCloseEarly } });
        await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
        const [main, near] = await pair.connectStreams(2);
        assert.ok(main && near);
        main.end('main');
        near.write('!');
        const [farMain] = await pair.arrivedStreams(1);
        farMain?.resume().end();
        await leave(pair, near);
        if (mayCloseEarly) {
          pair.source.finish();
          await Promise.all([pair.source.ended, pair.destination.ended]);
        } else await pair.destinationHeard.until(({ failures }) => failures.length > 0);
        assert.deepEqual(
          pair.destinationHeard.failures.map(({ code }) => code),
          mayCloseEarly ? [] : ['local'],
        );
      }
    });

    it('is a failure at the source, whose program would miss its answer', async () => {
      await using pair = await openPair({ suite, channels: 2, transports });
      const [near] = await pair.connectStreams(1);
      assert.ok(near);
      near.write('!');
      const [far] = await pair.arrivedStreams(1);
      near.destroy();
      far?.write(randomBytes(length));
      await pair.sourceHeard.until(({ failures }) => failures.length > 0);
      assert.equal(pair.sourceHeard.failures[0]?.code, 'local');
    });
  });
}
