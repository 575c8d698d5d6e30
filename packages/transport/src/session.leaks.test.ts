/** However a session ends, nothing of it stays: no descriptor, no socket path that somebody listens on, no key. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { openPair, type Pair, testAttempt } from './testing/pair.ts';
import { Transport } from './transport.ts';

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** The gate shuts its port a moment after the last session has gone; what is really left behind stays for good. */
async function comesDownTo(expected: number): Promise<void> {
  for (let round = 0; descriptors() > expected && round < 500; round++) await setTimeout(10);
  assert.equal(descriptors(), expected);
}

const ways: Record<string, (pair: Pair) => Promise<void>> = {
  ended: async (pair) => {
    const near = await pair.connectStreams(3);
    for (const socket of near) socket.end('x');
    for (const socket of await pair.arrivedStreams(3)) socket.resume().end();
    for (const socket of near) socket.resume();
    pair.source.close();
    pair.destination.close();
    await Promise.all([pair.source.ended, pair.destination.ended]);
  },
  'was dropped in the middle of its streams': async (pair) => {
    const near = await pair.connectStreams(2);
    for (const socket of near) socket.write(randomBytes(1024 * 1024));
    await pair.arrivedStreams(2);
    await Promise.all([pair.source.drop(), pair.destination.drop()]);
  },
  'was dropped at once': async (pair) => {
    await Promise.all([pair.source.drop(), pair.destination.drop()]);
  },
  'was dropped with local streams that were opened early': async (pair) => {
    await pair.connectStreams(1);
    await pair.source.drop();
    await pair.destination.drop();
  },
  'was aborted': async (pair) => {
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    await pair.source.abort();
    await pair.destinationHeard.until((heard) => heard.control.length > 0);
    await pair.destination.drop();
  },
  'failed at its peer’s end': async (pair) => {
    await Promise.all([pair.source.confirmed, pair.destination.confirmed]);
    await pair.source.drop();
    await pair.destinationHeard.until((heard) => heard.failures.length > 0);
    await pair.destination.drop();
  },
  'failed as QEMU went away': async (pair) => {
    const [near] = await pair.connectStreams(1);
    near?.write('!');
    const [far] = await pair.arrivedStreams(1);
    near?.destroy();
    far?.write(randomBytes(4 * 1024 * 1024));
    await pair.sourceHeard.until((heard) => heard.failures.length > 0);
    assert.equal(pair.sourceHeard.failures[0]?.code, 'local');
    await Promise.all([pair.source.drop(), pair.destination.drop()]);
  },
};

describe('descriptors', () => {
  const transports = [new Transport({ threads: 2 }), new Transport({ threads: 2 })] as const;
  const use = async (way: (pair: Pair) => Promise<void>) => {
    await using pair = await openPair({ transports });
    await way(pair);
  };
  before(() => use(async () => undefined));
  after(() => Promise.all(transports.map((transport) => transport.close())));

  for (const [name, way] of Object.entries(ways)) {
    it(`are all closed after a session ${name}`, async () => {
      const before = descriptors();
      await use(way);
      await comesDownTo(before);
    });
  }

  it('are all closed with the transport', async () => {
    const before = descriptors();
    const transport = new Transport({ threads: 3 });
    await transport.accept(testAttempt(), randomBytes(32), [{ host: '127.0.0.1', port: 0 }], {
      control: () => undefined,
      failed: () => undefined,
    });
    assert.ok(descriptors() > before);
    await transport.close();
    await comesDownTo(before);
  });
});

describe('the port', () => {
  const handlers = { control: () => undefined, failed: () => undefined };
  const isOpen = (port: number) =>
    new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });

  it('is open as long as a session lives, and no longer', async () => {
    const transport = new Transport({ threads: 1 });
    try {
      const anywhere = [{ host: '127.0.0.1', port: 0 }];
      const first = await transport.accept(testAttempt(), randomBytes(32), anywhere, handlers);
      const second = await transport.accept(testAttempt(), randomBytes(32), anywhere, handlers);
      assert.deepEqual(second.addresses, first.addresses);
      const port = first.addresses[0]?.port ?? 0;
      await first.session.drop();
      assert.ok(await isOpen(port));
      await second.session.drop();
      for (let round = 0; (await isOpen(port)) && round < 500; round++) await setTimeout(10);
      assert.ok(!(await isOpen(port)));
    } finally {
      await transport.close();
    }
  });

  it('that is taken is said so, and the session is gone with its key', async () => {
    const transport = new Transport({ threads: 1 });
    const other = new Transport({ threads: 1 });
    try {
      const { addresses } = await other.accept(testAttempt(), randomBytes(32), [{ host: '127.0.0.1', port: 0 }], handlers);
      const key = randomBytes(32);
      await assert.rejects(transport.accept(testAttempt(), key, addresses, handlers), { code: 'local', message: /EADDRINUSE/ });
      assert.deepEqual(key, Buffer.alloc(32));
      const free = await transport.accept(testAttempt(), randomBytes(32), [{ host: '127.0.0.1', port: 0 }], handlers);
      assert.ok(free.addresses[0]?.port);
    } finally {
      await Promise.all([transport.close(), other.close()]);
    }
  });
});

describe('the spec key', () => {
  const handlers = { control: () => undefined, failed: () => undefined };

  it('is wiped at the caller, whatever comes of it', async () => {
    const transport = new Transport({ threads: 1 });
    try {
      const keys = Array.from({ length: 4 }, () => randomBytes(32));
      const [good, bad, nowhere, accepted] = keys;
      assert.ok(good && bad && nowhere && accepted);
      const address = [{ host: '127.0.0.1', port: 9 }];
      transport.connect(testAttempt(), good, address, handlers);
      assert.throws(() => transport.connect(testAttempt({ channels: 1 }), bad, address, handlers), RangeError);
      assert.throws(() => transport.connect(testAttempt(), nowhere, [], handlers), { code: 'local' });
      await assert.rejects(transport.accept(testAttempt({ migration: 'x' }), accepted, address, handlers), RangeError);
      for (const key of keys) assert.deepEqual(key, Buffer.alloc(32));
    } finally {
      await transport.close();
    }
  });
});
