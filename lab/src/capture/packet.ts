/** Finds the TCP segment in an Ethernet frame: RFC 9293, RFC 791, RFC 8200, 802.1Q. */

export interface Segment {
  /** Names the direction: source address and port, destination address and port. */
  readonly flow: string;
  readonly sequence: number;
  readonly syn: boolean;
  readonly fin: boolean;
  readonly payload: Buffer;
}

/**
 * `other`: not TCP over IP. `fragment`: a part of a packet, which is not put together here. `cut`: the capture, or a header, ends before
 * the segment does.
 */
export type Parsed = Segment | 'other' | 'fragment' | 'cut';

const tcp = 6;

export const parseEthernet = (frame: Buffer): Parsed => {
  let at = 12;
  if (frame.length < 14) return 'cut';
  while (frame.readUInt16BE(at) === 0x8100 || frame.readUInt16BE(at) === 0x88a8) {
    at += 4;
    if (frame.length < at + 2) return 'cut';
  }
  const type = frame.readUInt16BE(at);
  if (type === 0x0800) return parseIpv4(frame, at + 2);
  if (type === 0x86dd) return parseIpv6(frame, at + 2);
  return 'other';
};

const parseIpv4 = (frame: Buffer, at: number): Parsed => {
  if (frame.length < at + 20) return 'cut';
  const headerLength = (frame.readUInt8(at) & 15) * 4;
  if (frame.readUInt8(at + 9) !== tcp) return 'other';
  // "More fragments" or an offset.
  if ((frame.readUInt16BE(at + 6) & 0x3fff) !== 0) return 'fragment';
  // Of a packet larger than 64 KiB, which segmentation offload makes, the length is said to be 0: it ends with the frame.
  const length = frame.readUInt16BE(at + 2) || frame.length - at;
  const addresses = frame.toString('latin1', at + 12, at + 20);
  return parseTcp(frame, at + headerLength, at + length, addresses);
};

const parseIpv6 = (frame: Buffer, at: number): Parsed => {
  if (frame.length < at + 40) return 'cut';
  const next = frame.readUInt8(at + 6);
  if (next === 44) return 'fragment';
  if (next !== tcp) return 'other';
  const length = frame.readUInt16BE(at + 4) || frame.length - at - 40;
  return parseTcp(frame, at + 40, at + 40 + length, frame.toString('latin1', at + 8, at + 40));
};

const parseTcp = (frame: Buffer, at: number, end: number, addresses: string): Parsed => {
  if (frame.length < at + 20 || frame.length < end) return 'cut';
  const start = at + (frame.readUInt8(at + 12) >> 4) * 4;
  if (start > end) return 'cut';
  const flags = frame.readUInt8(at + 13);
  return {
    flow: addresses + frame.toString('latin1', at, at + 4),
    sequence: frame.readUInt32BE(at + 4),
    syn: (flags & 2) !== 0,
    fin: (flags & 1) !== 0,
    payload: frame.subarray(start, end),
  };
};

/** A flow's name for people. */
export const describeFlow = (flow: string): string => {
  const bytes = Buffer.from(flow, 'latin1');
  const size = (bytes.length - 4) / 2;
  const address = (from: number): string => {
    const part = bytes.subarray(from, from + size);
    if (size === 4) return part.join('.');
    return `[${Array.from({ length: 8 }, (_, i) => part.readUInt16BE(i * 2).toString(16)).join(':')}]`;
  };
  return `${address(0)}:${bytes.readUInt16BE(2 * size)} > ${address(size)}:${bytes.readUInt16BE(2 * size + 2)}`;
};
