/** A record's header, 16 bytes, big-endian: type u8, zero u8, channel u16, length u32, sequence u64. All of it is authenticated. */
export interface Header {
  type: number;
  zero: number;
  channel: number;
  length: number;
  sequence: number;
}

export function writeHeader(out: Uint8Array, type: number, channel: number, length: number, sequence: number): void {
  const high = Math.floor(sequence / 2 ** 32);
  out[0] = type;
  out[1] = 0;
  out[2] = channel >>> 8;
  out[3] = channel;
  write32(out, 4, length);
  write32(out, 8, high);
  write32(out, 12, sequence >>> 0);
}

/** @param into is filled and returned, so that the hot path makes no object */
export function readHeader(bytes: Uint8Array, into: Header = { type: 0, zero: 0, channel: 0, length: 0, sequence: 0 }): Header {
  into.type = bytes[0] ?? 0;
  into.zero = bytes[1] ?? 0;
  into.channel = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
  into.length = read32(bytes, 4);
  // Exact only below 2^53, which is enough: a record whose number is not the next one, below 2^48, is refused.
  into.sequence = read32(bytes, 8) * 2 ** 32 + read32(bytes, 12);
  return into;
}

function write32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}

const read32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
