/** What docs/protocol.md fixes: changing any of these is a new protocol version. */

export const protocolVersion = 1;

export const suites = ['aes-256-gcm', 'none'] as const;
export type Suite = (typeof suites)[number];

/** The source is the side that connects. */
export type Role = 'source' | 'destination';

/** A TCP connection per local stream, and one for control: channel 0. */
export const controlChannel = 0;
/** The first channel that carries a local stream; for QEMU its main one. */
export const firstDataChannel = 1;
export const maxChannels = 256;

export const keyBytes = 32;
export const nonceBytes = 8;
export const ivBytes = 12;
export const tagBytes = 16;
export const hashBytes = 32;

export const headerBytes = 16;
/** The largest payload of a DATA record. */
export const maxDataBytes = 256 * 1024;
/** What a record adds to its payload on the wire. */
export const recordOverhead = headerBytes + tagBytes;

/** A direction's key changes every 2^16 records: 16 GiB at most, see docs/protocol.md "epochs" for why. */
export const epochBits = 16;
/** No direction sends a record with this sequence number. */
export const maxSequence = 2 ** 48;
/** No direction carries more payload in DATA: doubles count exactly up to here. */
export const maxDirectionBytes = 2 ** 53 - 1;

export const recordType = {
  confirm: 0x01,
  data: 0x02,
  close: 0x03,
  ping: 0x10,
  grant: 0x11,
  running: 0x12,
  aborted: 0x13,
} as const;

export const m1Bytes = 1 + 16 + 4 + 2 + 32 + 32;
export const m2Bytes = 32 + 32;
export const confirmBytes = recordOverhead;
/** M1, M2 and CONFIRM, which the gate exchanges before the counters of a channel begin. */
export const helloBytes = m1Bytes + m2Bytes + confirmBytes;
