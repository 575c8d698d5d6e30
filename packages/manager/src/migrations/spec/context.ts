/**
 * The hash that binds a migration's keys to everything that both hosts were told of it (docs/protocol.md, "context").
 * Hosts that hold different specs derive different keys, so they never confirm a channel.
 */
import { hash } from 'node:crypto';
import type { MigrationSpec } from '@sealift/contract';

const label = 'sealift/1 context';

/** The fields in their order; each is hashed behind its length, so that no two specs can run together into the same bytes. */
function fieldsOf(spec: MigrationSpec): Buffer[] {
  const { limits } = spec;
  const limitBytes = Buffer.alloc(34);
  limitBytes.writeBigUInt64BE(BigInt(limits.bandwidthBytesPerSecond), 0);
  limitBytes.writeBigUInt64BE(BigInt(limits.downtimeMs), 8);
  limitBytes.writeBigUInt64BE(BigInt(limits.maxDowntimeMs), 16);
  limitBytes.writeBigUInt64BE(BigInt(limits.deadlineMs), 24);
  limitBytes.writeUInt8(limits.maxThrottlePercent, 32);
  limitBytes.writeUInt8(limits.postcopy ? 1 : 0, 33);
  return [
    Buffer.from(label, 'ascii'),
    Buffer.of(spec.protocolVersion),
    exactly(16, Buffer.from(spec.migration.replaceAll('-', ''), 'hex'), 'migration'),
    u32(spec.attempt),
    exactly(8, Buffer.from(spec.nonce, 'base64url'), 'nonce'),
    exactly(32, Buffer.from(spec.source.keyHash, 'hex'), 'source.keyHash'),
    exactly(32, Buffer.from(spec.destination.keyHash, 'hex'), 'destination.keyHash'),
    Buffer.from(spec.suite, 'ascii'),
    u16(spec.channels),
    limitBytes,
    u64(spec.expiresAt),
  ];
}

/**
 * @returns 32 bytes, SHA-256
 * @throws RangeError where a field does not fit its place; a spec that its schema accepts always fits
 */
export const contextOf = (spec: MigrationSpec): Buffer =>
  hash('sha256', Buffer.concat(fieldsOf(spec).flatMap((field) => [u32(field.length), field])), 'buffer');

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function exactly(length: number, bytes: Buffer, field: string): Buffer {
  if (bytes.length !== length) throw new RangeError(`${field}: ${bytes.length} bytes in place of ${length}`);
  return bytes;
}
