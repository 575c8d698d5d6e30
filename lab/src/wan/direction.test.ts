import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Seeded } from '../chaos/seeded.ts';
import { type Conditions, changed, cleanLine, reorderLagMs } from './conditions.ts';
import { Direction } from './direction.ts';
import { longestPacket, virtioHeaderBytes } from './packet.ts';
import { Schedule } from './schedule.ts';

/** A packet of one frame that fills the wire for as many bytes, marked so that it is known again. */
const frame = (mark: number, bytes = 1000): Buffer => {
  const packet = Buffer.alloc(virtioHeaderBytes + bytes);
  packet.writeUInt32LE(mark, packet.length - 4);
  return packet;
};
/** At 1 Gb/s. */
const frameMs = 0.008;

/** A direction whose devices are lists. Times are given, as memory is, which begins at address 0. */
const setUp = (conditions: Partial<Conditions>, memoryBytes = 4_000_000) => {
  const waiting: Buffer[] = [];
  const arrived: number[] = [];
  const far = { refuses: false };
  const time = { now: 0, readTakes: 0 };
  const memory = { address: 0, bytes: new Uint8Array(memoryBytes) };
  const ends = {
    read: (address: number, length: number): number => {
      const packet = waiting.shift();
      if (!packet) return -1;
      time.now += time.readTakes;
      assert.ok(packet.length <= length && address + length <= memoryBytes);
      memory.bytes.set(packet, address);
      return packet.length;
    },
    write: (address: number, length: number): number => {
      if (far.refuses) return -1;
      arrived.push(Buffer.from(memory.bytes.buffer, address, length).readUInt32LE(length - 4));
      return length;
    },
  };
  const start = changed(cleanLine, conditions);
  const direction = new Direction(ends, new Schedule(start, new Seeded(2)), memory);
  direction.change(start, 0);
  const send = (now: number, ...packets: readonly Buffer[]) => {
    waiting.push(...packets);
    time.now = now;
    while (direction.accept(() => time.now));
  };
  const arrivedBy = (now: number): readonly number[] => {
    direction.deliver(now);
    return arrived.splice(0);
  };
  return { direction, send, arrivedBy, far, time };
};

describe('one direction of a line in operation', () => {
  it('writes each packet when it is due, and says when the next one is', () => {
    const { direction, send, arrivedBy } = setUp({ rttMs: 20 });
    assert.equal(direction.due, Number.POSITIVE_INFINITY);
    send(5, frame(1), frame(2));
    send(7, frame(3));
    assert.ok(Math.abs(direction.due - (15 + frameMs)) < 1e-9);
    assert.deepEqual(arrivedBy(15), []);
    assert.deepEqual(arrivedBy(15.1), [1, 2]);
    assert.ok(Math.abs(direction.due - (17 + frameMs)) < 1e-9);
    assert.deepEqual(arrivedBy(1000), [3]);
  });

  it('takes no packet for older than it is when it was held up before reading', () => {
    const { direction, send, time } = setUp({ rttMs: 20 });
    time.readTakes = 3;
    send(100, frame(2));
    assert.ok(Math.abs(direction.due - (113 + frameMs)) < 1e-9);
  });

  it('lets those in order overtake the late ones', () => {
    const { direction, send, arrivedBy } = setUp({ rttMs: 20, reorder: 0.5 });
    send(0, ...Array.from({ length: 20 }, (_, mark) => frame(mark)));
    const first = arrivedBy(10 + reorderLagMs);
    const late = arrivedBy(10 + 2 * reorderLagMs);
    assert.equal(late.length, direction.counts.late);
    assert.ok(late.length > 3 && first.length > 3);
    for (const marks of [first, late]) {
      assert.deepEqual(
        marks,
        marks.toSorted((a, b) => a - b),
      );
    }
    assert.equal(first.length + late.length, 20);
  });

  it('drops what is on its way when it goes down, and carries on when it is joined', () => {
    const { direction, send, arrivedBy } = setUp({ rttMs: 20 });
    send(0, frame(1));
    direction.change({ ...cleanLine, rttMs: 20, down: true }, 5);
    assert.equal(direction.due, Number.POSITIVE_INFINITY);
    send(6, frame(2));
    assert.deepEqual(arrivedBy(100), []);
    direction.change({ ...cleanLine, rttMs: 20 }, 200);
    send(200, frame(3));
    assert.deepEqual(arrivedBy(300), [3]);
    assert.equal(direction.counts.cut, 1);
  });

  it('tells what it had no memory for, and what the far end refused', () => {
    const { direction, send, arrivedBy, far } = setUp({ rttMs: 1000, queueBytes: 1e9 }, longestPacket + 3 * 1024);
    send(0, ...[1, 2, 3, 4, 5].map((mark) => frame(mark)));
    assert.equal(direction.failures.overflowed, 2);
    assert.deepEqual(arrivedBy(501), [1, 2, 3]);
    far.refuses = true;
    send(501, frame(6));
    assert.deepEqual(arrivedBy(1002), []);
    assert.equal(direction.failures.refused, 1);
    far.refuses = false;
    send(1002, frame(7), frame(8), frame(9));
    assert.deepEqual(arrivedBy(2000), [7, 8, 9]);
  });
});
