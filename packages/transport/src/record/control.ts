/** The payloads of control records. Each has one exact length for a given number of channels. docs/protocol.md "control records". */
import { maxDataBytes, recordType } from '../constants.ts';

/** What one direction of a data channel carried. */
export interface ChannelTotal {
  /** DATA records. */
  readonly records: number;
  /** Their payloads. */
  readonly bytes: number;
}

/** The run state of the VM before the source stopped it. */
export type RunState = 'running' | 'paused';

export interface Grant {
  readonly runState: RunState;
  /** The VM may run before all of its memory has come. Nothing is final then: totals and counts are all 0. */
  readonly postcopy?: true;
  /** Of channels 1, 2, …, from source to destination. */
  readonly totals: readonly ChannelTotal[];
  /** Write requests of each mirrored disk. */
  readonly diskWrites: readonly number[];
}

export interface Ping {
  /** The sender's monotonic clock, microseconds. */
  readonly sentAt: number;
  /** `sentAt` of the last PING that the sender has received, 0 for none. */
  readonly echo: number;
  /** How long ago that was, microseconds. */
  readonly echoAge: number;
  /** Payload bytes received on each data channel. */
  readonly received: readonly number[];
}

const u64 = 8;
const maxDisks = 64;

/** Payload bounds by type: what the receiver allows before it reads on. */
export function lengthIsAllowed(type: number, length: number, channel: number, channels: number): boolean {
  const control = channel === 0;
  switch (type) {
    case recordType.data:
      return !control && length >= 1 && length <= maxDataBytes;
    case recordType.close:
      return length === 2 * u64;
    case recordType.ping:
      return control && length === pingBytes(channels);
    case recordType.grant:
      return (
        control &&
        length >= grantBytes(channels, 0) &&
        length <= grantBytes(channels, maxDisks) &&
        (length - grantBytes(channels, 0)) % u64 === 0
      );
    case recordType.running:
      return control && length === 0;
    case recordType.aborted:
      return control && length === 0;
    default:
      return false;
  }
}

const pingBytes = (channels: number): number => 3 * u64 + (channels - 1) * u64;
const grantBytes = (channels: number, disks: number): number => 2 + (channels - 1) * 2 * u64 + disks * u64;

export function encodeClose(total: ChannelTotal): Buffer {
  const out = Buffer.alloc(2 * u64);
  write(out, 0, total.records);
  write(out, u64, total.bytes);
  return out;
}

export const decodeClose = (payload: Buffer): ChannelTotal => ({ records: read(payload, 0), bytes: read(payload, u64) });

export function encodePing(ping: Ping): Buffer {
  const out = Buffer.alloc(pingBytes(ping.received.length + 1));
  [ping.sentAt, ping.echo, ping.echoAge, ...ping.received].forEach((value, i) => {
    write(out, i * u64, value);
  });
  return out;
}

export function decodePing(payload: Buffer): Ping {
  const values = Array.from({ length: payload.length / u64 }, (_, i) => read(payload, i * u64));
  const [sentAt = 0, echo = 0, echoAge = 0, ...received] = values;
  return { sentAt, echo, echoAge, received };
}

export function encodeGrant(grant: Grant): Buffer {
  const out = Buffer.alloc(grantBytes(grant.totals.length + 1, grant.diskWrites.length));
  out.writeUInt8((grant.runState === 'running' ? 1 : 2) + (grant.postcopy ? postcopyMark : 0), 0);
  out.writeUInt8(grant.diskWrites.length, 1);
  const values = [...grant.totals.flatMap((total) => [total.records, total.bytes]), ...grant.diskWrites];
  values.forEach((value, i) => {
    write(out, 2 + i * u64, value);
  });
  return out;
}

/** Added to the run state. */
const postcopyMark = 2;

/**
 * @returns `undefined` where the payload is not a GRANT for this many channels, a number in it is 2^53 or more, or one in a grant by post-copy is not 0
 */
export function decodeGrant(payload: Buffer, channels: number): Grant | undefined {
  const state = payload.readUInt8(0);
  const disks = payload.readUInt8(1);
  const postcopy = state > postcopyMark;
  if (state < 1 || state > 2 + postcopyMark || payload.length !== grantBytes(channels, disks)) return undefined;
  const value = (i: number) => read(payload, 2 + i * u64);
  for (let i = 0; i < 2 * (channels - 1) + disks; i++)
    if (!Number.isSafeInteger(value(i)) || (postcopy && value(i) !== 0)) return undefined;
  return {
    runState: state % 2 === 1 ? 'running' : 'paused',
    ...(postcopy && { postcopy }),
    totals: Array.from({ length: channels - 1 }, (_, i) => ({ records: value(2 * i), bytes: value(2 * i + 1) })),
    diskWrites: Array.from({ length: disks }, (_, i) => value(2 * (channels - 1) + i)),
  };
}

const write = (out: Buffer, at: number, value: number): void => {
  out.writeBigUInt64BE(BigInt(value), at);
};
const read = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64BE(at));
