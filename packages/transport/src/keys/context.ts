/** The context of an attempt: a hash of everything that both sides must have been told alike. docs/protocol.md "context". */
import { hashBytes, maxChannels, nonceBytes, type Suite, suites } from '../constants.ts';
import { sha256 } from './hkdf.ts';

/** A migration spec without its key, in the form that the transport needs. */
export interface Attempt {
  readonly protocolVersion: number;
  /** UUID, text form. */
  readonly migration: string;
  /** 1 to 2^32 - 1. */
  readonly attempt: number;
  /** 8 bytes. */
  readonly nonce: Uint8Array;
  readonly suite: Suite;
  /** SHA-256 of each host's SubjectPublicKeyInfo. */
  readonly sourceKeyHash: Uint8Array;
  readonly destinationKeyHash: Uint8Array;
  /** TCP connections, channel 0 included. */
  readonly channels: number;
  /** How many of them, the last ones, carry a disk each. Default: none. Not part of the context: GRANT has a count for each. */
  readonly disks?: number;
  readonly limits: {
    readonly bandwidthBytesPerSecond: number;
    readonly downtimeMs: number;
    readonly maxDowntimeMs: number;
    readonly deadlineMs: number;
    /** 0 to 99. */
    readonly maxThrottlePercent: number;
    readonly postcopy: boolean;
  };
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** The UUID's 16 bytes. */
export function migrationId(uuid: string): Buffer {
  const digits = uuid.replaceAll('-', '');
  if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new RangeError('migration');
  return Buffer.from(digits, 'hex');
}

/** @throws RangeError naming the field that is out of its bounds */
export function contextHash(attempt: Attempt): Buffer {
  const { limits } = attempt;
  within('protocolVersion', attempt.protocolVersion, 1, 255);
  within('attempt', attempt.attempt, 1, 2 ** 32 - 1);
  within('channels', attempt.channels, 2, maxChannels);
  within('limits.bandwidthBytesPerSecond', limits.bandwidthBytesPerSecond);
  within('limits.downtimeMs', limits.downtimeMs);
  within('limits.maxDowntimeMs', limits.maxDowntimeMs);
  within('limits.deadlineMs', limits.deadlineMs);
  within('limits.maxThrottlePercent', limits.maxThrottlePercent, 0, 99);
  within('expiresAt', attempt.expiresAt);
  if (!suites.includes(attempt.suite)) throw new RangeError('suite');
  if (attempt.nonce.length !== nonceBytes) throw new RangeError('nonce');
  if (attempt.sourceKeyHash.length !== hashBytes) throw new RangeError('sourceKeyHash');
  if (attempt.destinationKeyHash.length !== hashBytes) throw new RangeError('destinationKeyHash');
  const fields = [
    Buffer.from('sealift/1 context', 'latin1'),
    Uint8Array.of(attempt.protocolVersion),
    migrationId(attempt.migration),
    u32(attempt.attempt),
    attempt.nonce,
    attempt.sourceKeyHash,
    attempt.destinationKeyHash,
    Buffer.from(attempt.suite, 'latin1'),
    u16(attempt.channels),
    Buffer.concat([
      u64(limits.bandwidthBytesPerSecond),
      u64(limits.downtimeMs),
      u64(limits.maxDowntimeMs),
      u64(limits.deadlineMs),
      Uint8Array.of(limits.maxThrottlePercent, limits.postcopy ? 1 : 0),
    ]),
    u64(attempt.expiresAt),
  ];
  return sha256(...fields.flatMap((field) => [u32(field.length), field]));
}

function within(field: string, value: number, least = 0, most: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isInteger(value) || value < least || value > most) throw new RangeError(field);
}

const u16 = (value: number): Buffer => {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
};
const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
const u64 = (value: number): Buffer => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt(value));
  return out;
};
