/** One end of a session as a process of its own, for tests/stalled.test.ts: support/ends.ts starts it and talks to it. */
import { createCipheriv } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionHandlers } from '../../packages/transport/src/heard.ts';
import type { Session } from '../../packages/transport/src/session.ts';
import { Transport } from '../../packages/transport/src/transport.ts';
import type { Order, Report } from './ends.ts';

const chunkBytes = 64 * 1024;

/** The bytes of a stream: the same at both ends, and never twice the same. */
const streamOf = (channel: number): ((length: number) => Buffer) => {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, channel), Buffer.alloc(16));
  return (length) => cipher.update(Buffer.alloc(length));
};

const say = (report: Report): void => void process.send?.(report);

const openSockets = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // the directory itself, which is closed again
    }
  }).length;

const socketsBefore = openSockets();
const directory = mkdtempSync(join(tmpdir(), 'sealift-end-'));
const transport = new Transport({ threads: 1 });
const sockets: net.Socket[] = [];
let session: Session | undefined;
let key: Uint8Array = Buffer.alloc(0);
/** Of all streams: what was written into them, or came out of them and was right. */
let carried = 0;
let wrong = false;
let finishing = false;

const handlers: SessionHandlers = {
  control: ({ type }) => say({ kind: 'control', type }),
  failed: ({ code, message }) => say({ kind: 'failed', code, message }),
};

/** Some MB a second for as long as it may. */
async function write(socket: net.Socket, channel: number): Promise<void> {
  const next = streamOf(channel);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  while (!finishing && !socket.destroyed) {
    const more = socket.write(next(chunkBytes));
    carried += chunkBytes;
    if (!more) await Promise.race([closed, new Promise((resolve) => socket.once('drain', resolve))]);
    await sleep(20);
  }
  socket.end();
}

function check(socket: net.Socket, channel: number): void {
  const next = streamOf(channel);
  socket.on('data', (bytes: Buffer) => {
    carried += bytes.length;
    wrong ||= !next(bytes.length).equals(bytes);
  });
  socket.on('end', () => socket.end());
}

async function connect(order: Extract<Order, { kind: 'connect' }>): Promise<void> {
  ({ key } = order);
  session = transport.connect(order.attempt, key, order.addresses, handlers);
  const path = join(directory, 'out');
  await session.listenLocal(path);
  await session.confirmed;
  for (let channel = 1; channel < order.attempt.channels; channel++) {
    const socket = net.connect({ path, allowHalfOpen: true });
    sockets.push(socket.on('error', () => undefined).resume());
    await once(socket, 'connect');
    void write(socket, channel);
  }
}

const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  check(
    socket.on('error', () => undefined),
    sockets.push(socket),
  );
});

async function accept(order: Extract<Order, { kind: 'accept' }>): Promise<void> {
  ({ key } = order);
  await once(server.listen(join(directory, 'in')), 'listening');
  const accepted = await transport.accept(
    order.attempt,
    key,
    order.hosts.map((host) => ({ host, port: 8651 })),
    handlers,
  );
  session = accepted.session;
  session.connectLocal(join(directory, 'in'));
  say({ kind: 'listening', addresses: accepted.addresses });
}

async function watch(running: Session): Promise<void> {
  await running.confirmed;
  say({ kind: 'confirmed' });
  await (running.role === 'source' ? running.localEnded : running.delivered);
  running.close();
  await running.ended;
  say({ kind: 'ended' });
}

/** The session is given up; with it everything that this process had opened for it. */
async function leave(): Promise<void> {
  await session?.abort();
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(directory, { recursive: true, force: true });
  for (let round = 0; openSockets() > socketsBefore && round < 500; round++) await sleep(10);
  say({ kind: 'left', sockets: openSockets() - socketsBefore, key: Buffer.from(key).toString('hex') });
  await transport.close();
  process.disconnect();
}

async function obey(order: Order): Promise<void> {
  switch (order.kind) {
    case 'connect':
    case 'accept':
      await (order.kind === 'connect' ? connect(order) : accept(order));
      if (session) void watch(session).catch(() => undefined); // a failure is said by the handler
      return;
    case 'hold':
      for (const socket of sockets) socket.pause();
      return;
    case 'go on':
      for (const socket of sockets) socket.resume();
      return;
    case 'finish':
      finishing = true;
      return;
    case 'count':
      say({ kind: 'counted', bytes: carried, wrong, rtt: session?.statistics.leastRtt ?? 0 });
      return;
    case 'leave':
      await leave();
      return;
  }
}

process.on('message', (order: Order) => void obey(order));
process.on('disconnect', () => process.exit());
