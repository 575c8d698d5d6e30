/** Makes captures for tests. */

export interface TestSegment {
  readonly from?: readonly [address: string, port: number];
  readonly to?: readonly [address: string, port: number];
  readonly sequence: number;
  readonly payload?: Buffer | string;
  readonly syn?: boolean;
}

/** An Ethernet frame with a TCP segment over IPv4, padded as short frames are. */
export const tcpFrame = ({
  from = ['10.0.0.1', 1000],
  to = ['10.0.0.2', 2000],
  sequence,
  payload = '',
  syn = false,
}: TestSegment): Buffer => {
  const data = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const frame = Buffer.alloc(Math.max(60, 54 + data.length));
  frame.writeUInt16BE(0x0800, 12);
  frame.writeUInt8(0x45, 14);
  frame.writeUInt16BE(40 + data.length > 0xffff ? 0 : 40 + data.length, 16);
  frame.writeUInt8(6, 23);
  Buffer.from([...from[0].split('.').map(Number), ...to[0].split('.').map(Number)]).copy(frame, 26);
  frame.writeUInt16BE(from[1], 34);
  frame.writeUInt16BE(to[1], 36);
  frame.writeUInt32BE(sequence, 38);
  frame.writeUInt8(5 << 4, 46);
  frame.writeUInt8(syn ? 2 : 16, 47);
  data.copy(frame, 54);
  return frame;
};

/** A frame that is not IP. */
export const otherFrame = (payload: string): Buffer =>
  Buffer.concat([Buffer.alloc(12), Buffer.from([0x88, 0xb5]), Buffer.from(payload, 'latin1')]);

/** @param at when the frames were seen, each as seconds and what the capture counts below a second; without it, all at 0 */
export const pcapFile = (
  frames: readonly Buffer[],
  {
    bigEndian = false,
    cutTo = 262_144,
    linkType = 1,
    nanoseconds = false,
    at = [] as readonly (readonly [seconds: number, fraction: number])[],
  } = {},
): Buffer => {
  const words = (values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(values.length * 4);
    for (const [index, value] of values.entries())
      bigEndian ? bytes.writeUInt32BE(value, index * 4) : bytes.writeUInt32LE(value, index * 4);
    return bytes;
  };
  const version = bigEndian ? 0x00020004 : 0x00040002;
  const parts = [words([nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4, version, 0, 0, cutTo, linkType])];
  for (const [index, frame] of frames.entries()) {
    const kept = frame.subarray(0, cutTo);
    parts.push(words([...(at[index] ?? [0, 0]), kept.length, frame.length]), kept);
  }
  return Buffer.concat(parts);
};
