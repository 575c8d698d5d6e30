/** The load against a Redis that loses writes, hangs and breaks connections as told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { Workload } from './client.ts';
import { encodeCommand, ReplyParser } from './resp.ts';

/** Commands are arrays of bulk strings, as replies may be: so the parser for replies reads them too. */
class FakeRedis {
  readonly values = new Map<string, string>();
  readonly sockets = new Set<Socket>();
  readonly server: Server = createServer((socket) => this.#serve(socket));
  frozen: (() => void)[] | undefined;

  #serve(socket: Socket): void {
    const parser = new ReplyParser();
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (bytes) => {
      for (const command of parser.push(bytes)) {
        const act = () => socket.write(this.#answer(command as string[]));
        if (this.frozen) this.frozen.push(act);
        else act();
      }
    });
  }

  #answer([name = '', key = '', value = '', option]: string[]): string {
    const old = this.values.get(key);
    const bulk = old === undefined ? '$-1\r\n' : `$${old.length}\r\n${old}\r\n`;
    if (name === 'GET') return bulk;
    if (name === 'HMGET') return encodeCommand([7, 0, 4096]);
    this.values.set(key, value);
    return option === 'GET' ? bulk : '+OK\r\n';
  }

  thaw(): void {
    const waiting = this.frozen ?? [];
    this.frozen = undefined;
    for (const act of waiting) act();
  }
}

const setUp = async (t: { after: (action: () => Promise<void>) => void }) => {
  const redis = new FakeRedis();
  redis.server.listen(0, '127.0.0.1');
  await once(redis.server, 'listening');
  const { port } = redis.server.address() as AddressInfo; // listening on TCP
  const load = new Workload({ host: '127.0.0.1', port, connections: 2, writesPerSecond: 2000 });
  t.after(async () => {
    await load.stop();
    for (const socket of redis.sockets) socket.destroy();
    redis.server.close();
  });
  const until = async (acknowledged: number) => {
    while ((await load.report()).acknowledgedWrites < acknowledged);
  };
  return { redis, load, until };
};

test('a Redis that keeps everything has lost nothing', async (t) => {
  const { redis, load, until } = await setUp(t);
  await load.plant(['one', 'two']);
  assert.deepEqual([redis.values.get('marker:0'), redis.values.get('marker:1')], ['one', 'two']);
  await load.start();
  await until(1200);
  assert.deepEqual(await load.checker(), { passes: 7, errors: 0, pages: 4096 });
  const { lostWrites, wrongValues, reconnects, refusedWrites } = await load.finish();
  assert.deepEqual(
    { lostWrites, wrongValues, reconnects, refusedWrites },
    { lostWrites: 0, wrongValues: 0, reconnects: 0, refusedWrites: 0 },
  );
});

test('writes that are rolled back are noticed, though the slots are written again', async (t) => {
  const { redis, load, until } = await setUp(t);
  await load.start();
  await until(1200);
  const then = new Map(redis.values);
  await until(2400);
  for (const [key, value] of then) redis.values.set(key, value);
  await until(4800);
  const { lostWrites, wrongValues } = await load.finish();
  assert.ok(lostWrites > 0);
  assert.equal(wrongValues, 0);
});

test('a lost key and a foreign value are noticed at the end', async (t) => {
  const { redis, load, until } = await setUp(t);
  await load.start();
  await until(2000);
  redis.frozen = [];
  redis.values.delete('slot:c0:5');
  redis.values.set('slot:c1:7', 'c0:7');
  redis.thaw();
  const { lostWrites, wrongValues } = await load.finish();
  assert.ok(lostWrites >= 1);
  assert.equal(wrongValues, 1);
});

test('a silence is measured, and a broken connection is counted', async (t) => {
  const { redis, load, until } = await setUp(t);
  await load.start();
  await until(100);
  redis.frozen = [];
  let gap = 0;
  while (gap < 150) gap = (await load.report()).guestGapMs;
  redis.thaw();
  const after = await load.report();
  assert.ok(after.guestGapMs >= 150);
  for (const socket of [...redis.sockets]) socket.destroy();
  await until(after.acknowledgedWrites + 100);
  const { reconnects, lostWrites, wrongValues } = await load.finish();
  assert.ok(reconnects >= 1);
  assert.deepEqual({ lostWrites, wrongValues }, { lostWrites: 0, wrongValues: 0 });
});
