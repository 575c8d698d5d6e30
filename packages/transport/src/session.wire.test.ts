/** Whole sessions with somebody on the wire. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { confirmBytes, m1Bytes } from './constants.ts';
import type { Grant } from './record/control.ts';
import { openPair } from './testing/pair.ts';
import { type Tamper, WireProxy } from './testing/proxy.ts';
import { Transport } from './transport.ts';

/** Changes one bit of the payload or tag of channel 1's first record from the source. */
const flipOne: Tamper = (channel, direction, chunk, at) => {
  const target = m1Bytes + confirmBytes + 20;
  if (channel !== 1 || direction !== 'to destination' || at > target || at + chunk.length <= target) return chunk;
  const changed = Buffer.from(chunk);
  changed[target - at] = (changed[target - at] ?? 0) ^ 1;
  return changed;
};

const transportsWith = (threads: number) => [new Transport({ threads }), new Transport({ threads })] as const;
/** With one pump thread channel 0 shares it with every other channel. */
const transports = { 1: transportsWith(1), 2: transportsWith(2) } as const;
after(() => Promise.all([...transports[1], ...transports[2]].map((transport) => transport.close())));

async function tamperedPair(tamper: Tamper | undefined, threads: 1 | 2 = 2) {
  let proxy: WireProxy | undefined;
  const pair = await openPair({
    transports: transports[threads],
    between: async (address) => {
      const [made, at] = await WireProxy.open(address, tamper);
      proxy = made;
      return at;
    },
  });
  return {
    pair,
    cut: (channel: number) => proxy?.cut(channel),
    [Symbol.asyncDispose]: async () => {
      await pair[Symbol.asyncDispose]();
      await proxy?.[Symbol.asyncDispose]();
    },
  };
}

describe('a session whose wire is tampered with', () => {
  for (const threads of [1, 2] as const) {
    it(`fails once with \`record\`, gives nothing out, and still says ABORTED; ${threads} pump threads`, async () => {
      await using tampered = await tamperedPair(flipOne, threads);
      const { pair } = tampered;
      await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
      const [stream] = await pair.connectStreams(1);
      stream?.write(randomBytes(2 * 1024 * 1024));
      await pair.destinationHeard.until((heard) => heard.failures.length > 0);
      assert.equal(pair.destinationHeard.failures[0]?.code, 'record');
      await assert.rejects(pair.destination.delivered, { code: 'record' });
      assert.equal(pair.destination.statistics.get(1, 'inBytes'), 0);
      assert.deepEqual(pair.arrived, [], 'nothing was authentic, so nobody was connected');
      await pair.destination.abort();
      await pair.sourceHeard.until((heard) => heard.control.length > 0);
      assert.equal(pair.sourceHeard.control[0]?.type, 'aborted');
      await pair.source.drop();
      assert.equal(pair.destinationHeard.failures.length, 1);
      assert.ok(pair.sourceHeard.failures.length <= 1);
    });
  }

  it('is truncated at both ends where a connection is cut, and channel 0 goes on', async () => {
    await using tampered = await tamperedPair(undefined, 1);
    const { pair } = tampered;
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    tampered.cut(2);
    await Promise.all([pair.sourceHeard, pair.destinationHeard].map((heard) => heard.until(({ failures }) => failures.length > 0)));
    assert.deepEqual(
      [pair.sourceHeard, pair.destinationHeard].map(({ failures }) => failures.map(({ code }) => code)),
      [['truncated'], ['truncated']],
    );
    await pair.destination.abort();
    await pair.sourceHeard.until((heard) => heard.control.length > 0);
    assert.equal(pair.sourceHeard.control[0]?.type, 'aborted');
  });

  it('is truncated where channel 0 is cut', async () => {
    await using tampered = await tamperedPair(undefined);
    const { pair } = tampered;
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    tampered.cut(0);
    await pair.destinationHeard.until((heard) => heard.failures.length > 0);
    assert.equal(pair.destinationHeard.failures[0]?.code, 'truncated');
    // There is nothing left to say it on.
    await pair.destination.abort();
    assert.deepEqual(pair.sourceHeard.control, []);
  });

  it('opens although the first hellos are spoilt', async () => {
    let spoilt = 0;
    await using tampered = await tamperedPair((_channel, direction, chunk, at) => {
      if (at > 0 || spoilt >= 6) return chunk;
      spoilt++;
      const changed = Buffer.from(chunk);
      // M1 at its MAC, so that the proxy still knows the channel; M2 at its key.
      const target = direction === 'to destination' ? 80 : 5;
      changed[target] = (changed[target] ?? 0) ^ 4;
      return changed;
    });
    const { pair } = tampered;
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    assert.deepEqual([pair.sourceHeard.failures, pair.destinationHeard.failures], [[], []]);
  });
});

describe('control records in the wrong direction', () => {
  it('fail the session that gets them with `record`', async () => {
    await using pair = await openPair({ channels: 2, transports: transports[2] });
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    pair.source.running();
    pair.destination.grant({ runState: 'running', totals: [{ records: 0, bytes: 0 }], diskWrites: [] });
    await Promise.all([pair.sourceHeard, pair.destinationHeard].map((heard) => heard.until(({ failures }) => failures.length > 0)));
    assert.equal(pair.sourceHeard.failures[0]?.code, 'record');
    assert.equal(pair.destinationHeard.failures[0]?.code, 'record');
    assert.deepEqual([...pair.sourceHeard.control, ...pair.destinationHeard.control], []);
  });

  it('do so where a GRANT is by post-copy and that was not ordered', async () => {
    const sent: Grant = { runState: 'running', postcopy: true, totals: [{ records: 0, bytes: 0 }], diskWrites: [] };
    for (const postcopy of [false, true]) {
      await using pair = await openPair({ channels: 2, transports: transports[2], limits: { postcopy } });
      await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
      pair.source.grant(sent);
      await pair.destinationHeard.until((heard) => heard.failures.length + heard.control.length > 0);
      assert.equal(pair.destinationHeard.failures[0]?.code, postcopy ? undefined : 'record');
      const grants = pair.destinationHeard.control.flatMap((message) => (message.type === 'grant' ? [message.grant] : []));
      assert.deepEqual(grants, postcopy ? [sent] : []);
    }
  });

  it('do so where a GRANT counts other channels than there are', async () => {
    await using pair = await openPair({ channels: 3, transports: transports[2] });
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    // A totals short, but four disks: the same length.
    pair.source.grant({ runState: 'running', totals: [{ records: 0, bytes: 0 }], diskWrites: [1, 2] });
    await pair.destinationHeard.until((heard) => heard.failures.length > 0);
    assert.equal(pair.destinationHeard.failures[0]?.code, 'record');
  });
});
