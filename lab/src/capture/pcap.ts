/** Reads capture files (libpcap's format, draft-ietf-opsawg-pcap; not pcapng) a block at a time, however large they are. */
import { open } from 'node:fs/promises';

export interface Packet {
  /** When the kernel saw it, milliseconds since the epoch by the wall clock; as fine as the capture is, and no finer than 0.0003 ms. */
  readonly at: number;
  /** Where the capture's link layer begins. Valid only until the callback returns: the memory is used again. */
  readonly bytes: Buffer;
  /** What the packet's length was on the wire; more than `bytes` when the capture cut it. */
  readonly wireLength: number;
}

export interface PcapHeader {
  /** 1 is Ethernet: www.tcpdump.org/linktypes.html. */
  readonly linkType: number;
}

const fileHeaderLength = 24;
const packetHeaderLength = 16;
/** As tcpdump limits it: MAXIMUM_SNAPLEN of libpcap. A larger length means that the file is damaged. */
const longestPacket = 262_144;
/** Large enough that reading costs little beside searching; a packet always fits. */
const blockLength = 4 * 1024 * 1024;

/**
 * @param onPacket is called for each packet, in the file's order
 * @throws Error when the file is no capture, is damaged, or ends within a packet
 */
export const readPcap = async (path: string, onPacket: (packet: Packet) => void): Promise<PcapHeader> => {
  await using file = await open(path, 'r');
  const block = Buffer.allocUnsafe(blockLength);
  let filled = 0;
  let position = 0;
  let format: Format | undefined;
  for (;;) {
    const { bytesRead } = await file.read(block, filled, blockLength - filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
    let at = 0;
    if (format === undefined) {
      if (filled < fileHeaderLength) continue;
      format = readFormat(block, path);
      at = fileHeaderLength;
    }
    while (filled - at >= packetHeaderLength) {
      const captured = format.uint32(block, at + 8);
      if (captured > longestPacket) throw new Error(`${path}: a packet of ${captured} bytes at byte ${position + at}; the file is damaged`);
      const end = at + packetHeaderLength + captured;
      if (end > filled) break;
      const time = format.uint32(block, at) * 1000 + format.uint32(block, at + 4) / format.perMs;
      onPacket({ at: time, bytes: block.subarray(at + packetHeaderLength, end), wireLength: format.uint32(block, at + 12) });
      at = end;
    }
    block.copyWithin(0, at, filled);
    filled -= at;
    position += at;
  }
  if (format === undefined) throw new Error(`${path}: too short for a capture`);
  if (filled > 0) throw new Error(`${path}: ends within a packet, at byte ${position}`);
  return { linkType: format.linkType };
};

interface Format extends PcapHeader {
  /** What the second half of a time counts: so many a millisecond. */
  readonly perMs: number;
  readonly uint32: (bytes: Buffer, at: number) => number;
}

const readFormat = (bytes: Buffer, path: string): Format => {
  const magics = [0xa1b2c3d4, 0xa1b23c4d]; // microseconds, nanoseconds
  const little = (from: Buffer, at: number) => from.readUInt32LE(at);
  const big = (from: Buffer, at: number) => from.readUInt32BE(at);
  const uint32 = magics.includes(little(bytes, 0)) ? little : magics.includes(big(bytes, 0)) ? big : undefined;
  if (uint32 === undefined) throw new Error(`${path}: not a capture of libpcap's format`);
  const perMs = uint32(bytes, 0) === 0xa1b23c4d ? 1e6 : 1e3;
  return { uint32, perMs, linkType: uint32(bytes, 20) & 0xffff };
};
