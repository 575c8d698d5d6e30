/**
 * A server that has nothing to do with any migration, doing as little as a server can that has to defend itself: whoever has said as much as a
 * hello is long is closed, so is who takes longer than five seconds, and beyond 256 the one who has waited longest.
 */
import { m1Bytes } from '../../packages/transport/src/constants.ts';
import { Epoll } from '../../packages/transport/src/native/epoll.ts';
import { libc, POLL } from '../../packages/transport/src/native/libc.ts';
import { accept, boundAddress, listenTcp } from '../../packages/transport/src/native/sockets.ts';
import { readFrom } from '../../packages/transport/src/testing/wires.ts';
import { nowMs, tell } from './helper.ts';

const mostWaiting = 256;
const patienceMs = 5000;

const listener = listenTcp({ host: '127.0.0.1', port: 0 });
/** In the order in which they came. */
const waiting = new Map<number, { readonly since: number; heard: number }>();
const epoll = new Epoll();
epoll.add(listener, POLL.IN);

function close(fd: number): void {
  waiting.delete(fd);
  libc.close(fd);
}

function acceptAll(): void {
  for (let fd = accept(listener); fd >= 0; fd = accept(listener)) {
    const [longest] = waiting.keys();
    if (waiting.size >= mostWaiting && longest !== undefined) close(longest);
    waiting.set(fd, { since: nowMs(), heard: 0 });
    epoll.add(fd, POLL.IN);
  }
}

function hear(fd: number): void {
  const guest = waiting.get(fd);
  if (!guest) return;
  const came = readFrom(fd, m1Bytes - guest.heard);
  if (came !== 'ended') guest.heard += came.length;
  if (came === 'ended' || guest.heard === m1Bytes) close(fd);
}

await tell({ port: boundAddress(listener, { host: '127.0.0.1', port: 0 }).port });
const parent = process.ppid;
while (process.ppid === parent) {
  for (const [fd, { since }] of waiting) {
    if (nowMs() - since < patienceMs) break;
    close(fd);
  }
  for (const fd of epoll.ready(100)) {
    if (fd === listener) acceptAll();
    else hear(fd);
  }
}
process.exit();
