import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Framer } from './framer.ts';
import { ask, command, decodeRequest, encodeReply, type Handshake, NbdError, requestBytes, serve } from './nbd.ts';
import { MirrorOutlet } from './outlet.ts';
import { shake } from './sockets.ts';
import { decodeOperation, encodeOperation, operation, operationBytes } from './stream.ts';

const MiB = 2 ** 20;

/** Runs both sides of a handshake against each other. @returns what each came to */
function join2<A, B>(one: Handshake<A>, other: Handshake<B>): [A | undefined, B | undefined] {
  const sides = [one, other].map((side) => ({ side, step: side.next() as IteratorResult<unknown, unknown>, heard: Buffer.alloc(0) }));
  for (let moved = true; moved; ) {
    moved = false;
    for (const [i, mine] of sides.entries()) {
      const theirs = sides[1 - i];
      const wanted = mine.step.value as { read: number } | { send: Buffer }; // as handshakes yield
      if (mine.step.done || !theirs) continue;
      if ('send' in wanted) {
        theirs.heard = Buffer.concat([theirs.heard, wanted.send]);
        mine.step = mine.side.next(Buffer.alloc(0));
      } else if (mine.heard.length >= wanted.read) {
        const bytes = mine.heard.subarray(0, wanted.read);
        mine.heard = mine.heard.subarray(wanted.read);
        mine.step = mine.side.next(bytes);
      } else continue;
      moved = true;
    }
  }
  return sides.map(({ step }) => (step.done ? step.value : undefined)) as [A | undefined, B | undefined]; // as they were given
}

describe('NBD', () => {
  it('is agreed on by both sides, and refused for another export or size', () => {
    assert.deepEqual(join2(serve('disk0', 64 * MiB), ask('disk0', 64 * MiB)), [true, undefined]);
    assert.throws(() => join2(serve('disk0', 64 * MiB), ask('disk0', 63 * MiB)), NbdError);
    assert.throws(() => join2(serve('disk0', 64 * MiB), ask('disk1', 64 * MiB)), /refuses export disk1/);
  });

  it('is refused or waited for whatever a client says', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (noise, begins) => {
        const handshake = serve('disk0', MiB);
        const start = begins ? Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.from('IHAVEOPT')]) : Buffer.alloc(0);
        let bytes = Buffer.concat([start, noise]);
        let step = handshake.next();
        try {
          while (!step.done) {
            if ('send' in step.value) step = handshake.next(Buffer.alloc(0));
            else {
              const { read } = step.value;
              assert.ok(read <= 8192, 'nothing is allocated beyond its bound');
              if (bytes.length < read) return;
              step = handshake.next(bytes.subarray(0, read));
              bytes = bytes.subarray(read);
            }
          }
        } catch (error) {
          assert.ok(error instanceof NbdError, String(error));
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('keeps every operation on its disk, in whatever pieces it comes', () => {
    const any = fc.record({
      type: fc.integer({ min: 0, max: 4 }),
      allocate: fc.boolean(),
      offset: fc.integer({ min: 0, max: 2 * MiB }),
      length: fc.integer({ min: 0, max: 2 * MiB }),
    });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (operations, cuts) => {
        const all = Buffer.concat(operations.map(encodeOperation));
        const framer = new Framer(operationBytes);
        const read: unknown[] = [];
        for (let at = 0, i = 0; at < all.length; i++) {
          const next = all.subarray(at, at + (cuts[i % cuts.length] ?? 1));
          for (const piece of framer.pieces(next)) if (piece.kind === 'header') read.push(decodeOperation(piece.header, MiB));
          at += next.length;
        }
        assert.ok(framer.isBetween);
        assert.deepEqual(
          read,
          operations.map(({ type, allocate, offset, length }) => {
            const known = type >= 1 && type <= 3 && (!allocate || type === operation.zero);
            return known && length > 0 && offset + length <= MiB ? { type, allocate, offset, length } : undefined;
          }),
        );
      }),
    );
  });
});

interface Seen {
  readonly type: number;
  readonly offset: number;
  readonly answer: () => void;
}

/** An outlet whose QEMU answers when it is told to. */
async function withOutlet(
  run: (parts: {
    outlet: MirrorOutlet;
    stream: net.Socket;
    requests: readonly Seen[];
    until: (count: number) => Promise<void>;
    write: (offset: number, length: number) => void;
  }) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'sl-outlet-'));
  const requests: Seen[] = [];
  let wake = Promise.withResolvers<void>();
  const until = async (count: number) => {
    while (requests.length < count) await wake.promise;
  };
  const qemu = net.createServer({ pauseOnConnect: true }, async (socket) => {
    const { rest } = await shake(socket, serve('disk0', MiB));
    const framer = new Framer(requestBytes);
    const take = (chunk: Buffer) => {
      for (const piece of framer.pieces(chunk)) {
        if (piece.kind !== 'header') continue;
        const { type, offset, length, cookie } = decodeRequest(piece.header);
        if (type === command.write) framer.expect(length);
        requests.push({ type, offset, answer: () => socket.write(encodeReply(cookie)) });
      }
      wake.resolve();
      wake = Promise.withResolvers();
    };
    take(rest);
    socket
      .on('data', take)
      .on('error', () => undefined)
      .resume();
  });
  const failures: Error[] = [];
  const paths = { listenPath: join(directory, 'in'), nbdPath: join(directory, 'nbd') };
  const outlet = new MirrorOutlet({ ...paths, exportName: 'disk0', sizeBytes: MiB, failed: (error) => failures.push(error) });
  let stream: net.Socket | undefined;
  try {
    await once(qemu.listen(paths.nbdPath), 'listening');
    await outlet.listening;
    const connected = net.connect(paths.listenPath);
    stream = connected;
    const write = (offset: number, length: number) => {
      connected.write(
        Buffer.concat([encodeOperation({ type: operation.write, allocate: false, offset, length }), Buffer.alloc(length, 7)]),
      );
    };
    await run({ outlet, stream, requests, until, write });
    assert.deepEqual(failures, []);
  } finally {
    stream?.destroy();
    outlet.close();
    qemu.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

describe('the end that writes', () => {
  it('has what overlaps done one after the other, and the rest at once', () =>
    withOutlet(async ({ outlet, stream, requests, until, write }) => {
      write(0, 4096);
      write(8192, 4096);
      write(2048, 4096); // over the first
      write(65_536, 512); // and this one behind it, in order
      await until(2);
      await new Promise((resolve) => setTimeout(resolve, 20)); // it would have come by now
      assert.deepEqual(
        requests.map(({ offset }) => offset),
        [0, 8192],
      );
      requests[0]?.answer();
      await until(4);
      assert.deepEqual(
        requests.map(({ offset }) => offset),
        [0, 8192, 2048, 65_536],
      );
      for (const { answer } of requests.slice(1)) answer();
      stream.end();
      await until(5);
      assert.equal(requests[4]?.type, command.flush, 'and it is flushed before it counts as done');
      requests[4]?.answer();
      assert.deepEqual(await outlet.applied, { writes: 4, bytes: 3 * 4096 + 512 });
    }));

  it('flushes once more what was under way when the last flush began', () =>
    withOutlet(async ({ outlet, stream, requests, until, write }) => {
      write(0, 512);
      write(4096, 512);
      await until(2);
      requests[0]?.answer();
      await until(3);
      assert.equal(requests[2]?.type, command.flush, 'as time goes by');
      requests[1]?.answer();
      requests[2]?.answer();
      stream.end();
      await until(4);
      assert.equal(requests[3]?.type, command.flush);
      requests[3]?.answer();
      assert.deepEqual(await outlet.applied, { writes: 2, bytes: 1024 });
    }));
});
