/**
 * A packet as a TAP device hands it over: the virtio-net header (virtio 1.2, 5.1.6; 10 bytes, this machine's byte order, which is little endian
 * wherever sealift runs), then an Ethernet frame, which may be a TCP segment of up to 64 KiB that is still to be cut into frames of the wire's size.
 */

export const virtioHeaderBytes = 10;
/** struct virtio_net_hdr: where its fields are. */
const field = { flags: 0, gsoType: 1, gsoSize: 4 } as const;
const gso = { none: 0, tcpv4: 1, ecn: 0x80 } as const;

const ethernetBytes = 14;
const tcp = { fin: 0x01, psh: 0x08, cwr: 0x80 } as const;

/** The longest there is: 64 KiB of IP, and what is in front of it. */
export const longestPacket = virtioHeaderBytes + ethernetBytes + 65_536;

export interface Shape {
  /** Of the wire's size. */
  frames: number;
  /** Of each but the last. */
  frameBytes: number;
  lastBytes: number;
  /** Ethernet, IP and TCP headers, which every frame has; 0 of a packet that is one frame. */
  headerBytes: number;
  /** What each frame but the last carries. */
  segmentBytes: number;
}

const get16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const put16 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
};

/** Into which frames the packet of `length` bytes at `at` is cut. @param shape is filled in, so that nothing is allocated */
export const shapeOf = (bytes: Uint8Array, at: number, length: number, shape: Shape): void => {
  const frame = length - virtioHeaderBytes;
  const kind = (bytes[at + field.gsoType] ?? 0) & ~gso.ecn;
  const segment = (bytes[at + field.gsoSize] ?? 0) | ((bytes[at + field.gsoSize + 1] ?? 0) << 8);
  const ip = at + virtioHeaderBytes + ethernetBytes;
  const ipBytes = ((bytes[ip] ?? 0) & 0x0f) * 4;
  const header = ethernetBytes + ipBytes + ((bytes[ip + ipBytes + 12] ?? 0) >>> 4) * 4;
  const payload = frame - header;
  if (kind !== gso.tcpv4 || segment === 0 || payload <= segment) {
    shape.frames = 1;
    shape.frameBytes = frame;
    shape.lastBytes = frame;
    shape.headerBytes = 0;
    shape.segmentBytes = 0;
    return;
  }
  shape.frames = Math.ceil(payload / segment);
  shape.frameBytes = header + segment;
  shape.lastBytes = header + payload - (shape.frames - 1) * segment;
  shape.headerBytes = header;
  shape.segmentBytes = segment;
};

/** The length of the packet that {@link copyRun} makes. */
export const runBytes = (shape: Shape, first: number, count: number): number => {
  const last = first + count === shape.frames ? shape.lastBytes - shape.headerBytes : shape.segmentBytes;
  return virtioHeaderBytes + shape.headerBytes + (count - 1) * shape.segmentBytes + last;
};

/**
 * Makes a packet of some of a packet's frames, as the sender would have made it: of TCP over IPv4, whose checksum is still to be completed by
 * who receives it (that is what the kernel hands over; its field holds the pseudo header's sum).
 * @param to where there is room for {@link runBytes}, apart from the packet
 */
export const copyRun = (bytes: Uint8Array, from: number, to: number, shape: Shape, first: number, count: number): void => {
  const { headerBytes, segmentBytes, frames } = shape;
  const length = runBytes(shape, first, count);
  const headers = virtioHeaderBytes + headerBytes;
  const payload = from + headers + first * segmentBytes;
  bytes.copyWithin(to, from, from + headers);
  bytes.copyWithin(to + headers, payload, payload + length - headers);
  if (count === 1) bytes.fill(0, to + field.gsoType, to + field.gsoSize + 2);
  else if (first > 0) bytes[to + field.gsoType] = gso.tcpv4;

  const ip = to + virtioHeaderBytes + ethernetBytes;
  const ipBytes = ((bytes[ip] ?? 0) & 0x0f) * 4;
  const ipLength = length - virtioHeaderBytes - ethernetBytes;
  put16(bytes, ip + 2, ipLength);
  put16(bytes, ip + 4, (get16(bytes, ip + 4) + first) & 0xffff);
  put16(bytes, ip + 10, 0);
  put16(bytes, ip + 10, ~onesSum(bytes, ip, ipBytes, 0) & 0xffff);

  const segment = ip + ipBytes;
  const sequence = (((get16(bytes, segment + 4) << 16) | get16(bytes, segment + 6)) + first * segmentBytes) >>> 0;
  put16(bytes, segment + 4, sequence >>> 16);
  put16(bytes, segment + 6, sequence & 0xffff);
  let flags = bytes[segment + 13] ?? 0;
  // As the kernel cuts: what ends the packet is said by its last frame, what begins it by its first.
  if (first + count < frames) flags &= ~(tcp.fin | tcp.psh);
  if (first > 0) flags &= ~tcp.cwr;
  bytes[segment + 13] = flags;
  put16(bytes, segment + 16, onesSum(bytes, ip + 12, 8, (bytes[ip + 9] ?? 0) + ipLength - ipBytes));
};

/** The ones' complement sum of 16-bit words (RFC 1071), of an even number of bytes. */
const onesSum = (bytes: Uint8Array, at: number, length: number, start: number): number => {
  let sum = start;
  for (let index = at; index < at + length; index += 2) sum += get16(bytes, index);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
};
