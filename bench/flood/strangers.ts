/**
 * `strangers.ts PORT COUNT RATE MIGRATION`: connects COUNT times, RATE times a second, without any key. In turn a stranger says nothing, says
 * some garbage, says as much as a hello is long, and says a hello in which only the proof is wrong, as who listens on the wire could. It
 * stays until it is sent away.
 */
import { randomBytes } from 'node:crypto';
import { m1Bytes } from '../../packages/transport/src/constants.ts';
import { Epoll } from '../../packages/transport/src/native/epoll.ts';
import { libc, POLL } from '../../packages/transport/src/native/libc.ts';
import { connectError, startConnect } from '../../packages/transport/src/native/sockets.ts';
import { readFrom, writeTo } from '../../packages/transport/src/testing/wires.ts';
import { nowMs, tell, told } from './helper.ts';

export interface Called {
  /** When the last one was connected, milliseconds on the clock of all. */
  readonly called: number;
  readonly connected: number;
  readonly refused: number;
}

/** More are not there at once: who is not accepted must not fill this process. */
const mostAtOnce = 600;
/** Shorter than most gaps between two calls, so that they come one by one. */
const napMs = 0.2;

const [port, count, rate, migration = ''] = process.argv.slice(2);
const nap = new Int32Array(new SharedArrayBuffer(4));

function wordsOf(stranger: number): Buffer {
  if (stranger % 4 === 0) return Buffer.alloc(0);
  if (stranger % 4 === 1) return randomBytes(10);
  const hello = randomBytes(m1Bytes);
  if (stranger % 4 === 3) {
    hello.writeUInt8(1, 0);
    Buffer.from(migration.replaceAll('-', ''), 'hex').copy(hello, 1);
    hello.writeUInt32BE(1, 17);
    hello.writeUInt16BE(1 + (stranger % 3), 21);
  }
  return hello;
}

const calling = new Map<number, Buffer>();
const there = new Set<number>();
const epoll = new Epoll();
let [connected, refused] = [0, 0];

function call(stranger: number): void {
  const fd = startConnect({ host: '127.0.0.1', port: Number(port) });
  calling.set(fd, wordsOf(stranger));
  epoll.add(fd, POLL.OUT);
}

function look(fd: number): void {
  const words = calling.get(fd);
  if (!words) {
    if (readFrom(fd) !== 'ended') return;
    there.delete(fd);
    libc.close(fd);
    return;
  }
  calling.delete(fd);
  if (connectError(fd) !== 0) {
    refused++;
    libc.close(fd);
    return;
  }
  connected++;
  there.add(fd);
  epoll.change(fd, POLL.IN);
  if (words.length > 0) writeTo(fd, words);
}

await tell({ ready: true });
await told();
const began = nowMs();
const parent = process.ppid;
let begun = 0;
for (let said = false; process.ppid === parent; ) {
  const due = Math.min(Number(count), Math.ceil(((nowMs() - began) * Number(rate)) / 1000));
  for (; begun < due && calling.size + there.size < mostAtOnce; begun++) call(begun);
  for (const fd of epoll.ready()) look(fd);
  if (!said && connected + refused === Number(count)) {
    said = true;
    await tell({ called: nowMs(), connected, refused } satisfies Called);
  }
  Atomics.wait(nap, 0, 0, napMs);
}
process.exit();
