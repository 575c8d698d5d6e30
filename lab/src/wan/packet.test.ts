import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { copyRun, longestPacket, runBytes, type Shape, shapeOf } from './packet.ts';

const [virtio, ethernet] = [10, 14];
const noShape = (): Shape => ({ frames: 0, frameBytes: 0, lastBytes: 0, headerBytes: 0, segmentBytes: 0 });

interface Given {
  readonly payload: Uint8Array;
  readonly segment: number;
  readonly ipOptions: number;
  readonly tcpOptions: number;
  readonly sequence: number;
  readonly id: number;
  readonly flags: number;
}

const given = fc.record<Given>({
  payload: fc.uint8Array({ minLength: 2, maxLength: 5000 }),
  segment: fc.integer({ min: 1, max: 1500 }),
  ipOptions: fc.integer({ min: 0, max: 10 }),
  tcpOptions: fc.integer({ min: 0, max: 10 }),
  sequence: fc.integer({ min: 0, max: 0xffffffff }),
  id: fc.nat(0xffff),
  flags: fc.nat(255),
});

/** RFC 1071, written the slow way. */
const sum = (...parts: readonly Uint8Array[]): number => {
  let total = 0;
  for (const part of parts) for (let index = 0; index < part.length; index += 2) total += (part[index] ?? 0) * 256 + (part[index + 1] ?? 0);
  while (total > 0xffff) total = (total % 0x10000) + Math.floor(total / 0x10000);
  return total;
};
const length16 = (length: number) => Buffer.from([0, 6, length >> 8, length & 255]);

/** As the kernel hands over a TCP packet that is to be cut: the checksum's field holds the sum of the pseudo header. */
const superPacket = ({ payload, segment, ipOptions, tcpOptions, sequence, id, flags }: Given): Buffer => {
  const [ipBytes, tcpBytes] = [20 + 4 * ipOptions, 20 + 4 * tcpOptions];
  const packet = Buffer.alloc(virtio + ethernet + ipBytes + tcpBytes, 1);
  const ip = packet.subarray(virtio + ethernet);
  const tcp = ip.subarray(ipBytes);
  packet.set([1, flags & 0x80 ? 0x81 : 1]);
  packet.writeUInt16LE(virtio + ipBytes + tcpBytes, 2);
  packet.writeUInt16LE(segment, 4);
  packet.writeUInt16LE(ethernet + ipBytes, 6);
  packet.writeUInt16LE(16, 8);
  ip.set([0x40 + ipBytes / 4, 0]);
  ip.writeUInt16BE(ipBytes + tcpBytes + payload.length, 2);
  ip.writeUInt16BE(id, 4);
  ip.set([0x40, 0, 64, 6, 0, 0, 10, 77, 2, 11, 10, 77, 2, 12], 6);
  ip.writeUInt16BE(~sum(ip.subarray(0, ipBytes)) & 0xffff, 10);
  tcp.writeUInt32BE(sequence, 4);
  tcp.set([(tcpBytes / 4) << 4, flags], 12);
  tcp.writeUInt16BE(sum(ip.subarray(12, 20), length16(tcpBytes + payload.length)), 16);
  return Buffer.concat([packet, payload]);
};

const memoryOf = (packet: Buffer) => {
  const memory = new Uint8Array(2 * longestPacket);
  memory.set(packet, 64);
  const shape = noShape();
  shapeOf(memory, 64, packet.length, shape);
  return { memory, shape };
};

it('a packet is cut into frames as the kernel cuts it, and the payload of its runs is its payload', () => {
  fc.assert(
    fc.property(given, fc.array(fc.boolean()), (packet, cuts) => {
      fc.pre(packet.payload.length > packet.segment);
      const { memory, shape } = memoryOf(superPacket(packet));
      const { payload, segment, sequence, id, flags } = packet;
      assert.equal(shape.frames, Math.ceil(payload.length / segment));
      assert.equal((shape.frames - 1) * shape.frameBytes + shape.lastBytes, payload.length + shape.frames * shape.headerBytes);

      const found: Uint8Array[] = [];
      for (let first = 0, count = 1; first < shape.frames; first += count, count = 1) {
        while (first + count < shape.frames && cuts[first + count] !== true) count++;
        const to = longestPacket;
        const length = runBytes(shape, first, count);
        copyRun(memory, 64, to, shape, first, count);
        const run = Buffer.from(memory.subarray(to, to + length));
        const ip = run.subarray(virtio + ethernet);
        const ipBytes = (ip.readUInt8(0) & 15) * 4;
        const tcp = ip.subarray(ipBytes);
        const headers = shape.headerBytes + virtio;
        const again = noShape();
        shapeOf(run, 0, length, again);
        assert.equal(again.frames, count);
        assert.equal(ip.readUInt16BE(2), ip.length);
        assert.equal(ip.readUInt16BE(4), (id + first) % 0x10000);
        assert.equal(sum(ip.subarray(0, ipBytes)), 0xffff);
        assert.equal(tcp.readUInt32BE(4), (sequence + first * segment) % 2 ** 32);
        assert.equal(tcp.readUInt16BE(16), sum(ip.subarray(12, 20), length16(tcp.length)));
        const last = first + count === shape.frames;
        assert.equal(tcp.readUInt8(13), flags & (last ? 0xff : ~0x09) & (first === 0 ? 0xff : ~0x80));
        // Checksum where it was to be put; segment size only where there is something to cut; ECN's kind only where CWR is.
        assert.deepEqual([run[0], run.readUInt16LE(6), run.readUInt16LE(8)], [1, ethernet + ipBytes, 16]);
        assert.equal(run.readUInt16LE(4), count > 1 ? segment : 0);
        assert.equal(run[1], count === 1 ? 0 : first === 0 && flags & 0x80 ? 0x81 : 1);
        found.push(run.subarray(headers));
      }
      assert.deepEqual(Buffer.concat(found), Buffer.from(payload));
    }),
  );
});

it('anything else is one frame', () => {
  const whole = superPacket({ payload: new Uint8Array(100), segment: 100, ipOptions: 0, tcpOptions: 3, sequence: 1, id: 1, flags: 16 });
  const arp = Buffer.alloc(virtio + 42);
  for (const packet of [whole, arp]) {
    const { shape } = memoryOf(packet);
    assert.deepEqual([shape.frames, shape.frameBytes, shape.lastBytes], [1, packet.length - virtio, packet.length - virtio]);
  }
});
