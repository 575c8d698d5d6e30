import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { maxDataBytes } from '../constants.ts';
import { Epochs } from '../keys/epochs.ts';
import { libc, POLL } from '../native/libc.ts';
import { accept, boundAddress, listenTcp, startConnect } from '../native/sockets.ts';
import { MiniDirection } from '../testing/mini.ts';
import { unixPair, writeTo } from '../testing/wires.ts';
import { Inbound } from './inbound.ts';
import { Poller } from './loop.ts';
import { Statistics } from './statistics.ts';

/** @returns two ends of a TCP connection over loopback, each for the caller to close */
function tcpPair(): [number, number] {
  const asked = { host: '127.0.0.1', port: 0 };
  const listener = listenTcp(asked);
  try {
    const near = startConnect(boundAddress(listener, asked));
    waitFor(listener, 10_000);
    return [near, accept(listener)];
  } finally {
    libc.close(listener);
  }
}

/** @returns whether it became readable in that time */
function waitFor(fd: number, ms: number): boolean {
  let readable = false;
  const poller = new Poller();
  poller.add(fd, POLL.IN, {
    ready: () => {
      readable = true;
    },
  });
  poller.wait(ms);
  return readable;
}

describe('an inbound direction that waits for the wire', () => {
  it('is woken when the whole of a record is there, by the next record’s first byte, and by the end of the stream', () => {
    const [far, wire] = tcpPair();
    const locals = unixPair();
    const secret = randomBytes(32);
    const peer = new MiniDirection(secret, { start: 0, suite: 'aes-256-gcm', epochBits: 16 });
    const inbound = new Inbound(1, 2, wire, new Epochs(Buffer.from(secret), 'open'), 'aes-256-gcm', new Statistics(2), () => undefined);
    const work = () => {
      inbound.wireReadable = true;
      while (inbound.step()) inbound.localWritable = true;
      inbound.awaitRecord();
    };
    const put = (bytes: Uint8Array) => assert.equal(writeTo(far, bytes), bytes.length);
    try {
      inbound.attach(locals[0]);
      const record = peer.seal(0x02, 1, randomBytes(50_000));
      put(record.subarray(0, 20_000));
      assert.ok(waitFor(wire, 10_000));
      work();
      put(record.subarray(20_000, record.length - 1));
      assert.ok(!waitFor(wire, 50), 'woken for a part');
      put(record.subarray(record.length - 1));
      assert.ok(waitFor(wire, 10_000), 'not woken for the whole');
      work();
      assert.equal(inbound.total.records, 1);
      const next = peer.seal(0x02, 1, randomBytes(maxDataBytes / 8));
      put(next.subarray(0, 1));
      assert.ok(waitFor(wire, 10_000), 'not woken for the next');
      put(next.subarray(1, 100));
      work();
      libc.shutdown(far, 1);
      assert.ok(waitFor(wire, 10_000), 'not woken for the end');
      assert.throws(work, { code: 'truncated' });
    } finally {
      inbound.free();
      for (const fd of [far, wire, ...locals]) libc.close(fd);
    }
  });
});
