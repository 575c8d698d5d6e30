/** The disk stream: what is done to a disk, one operation after the other, in one direction. docs/disk-stream.md is its normative text. */
import { maxWriteBytes } from './nbd.ts';

export const operation = { write: 1, zero: 2, discard: 3 } as const;

export interface Operation {
  readonly type: number;
  /** Of `zero`: what is zeroed stays allocated. */
  readonly allocate: boolean;
  readonly offset: number;
  readonly length: number;
}

export const operationBytes = 16;

export function encodeOperation({ type, allocate, offset, length }: Operation): Buffer {
  const bytes = Buffer.allocUnsafe(operationBytes);
  bytes.writeUInt8(type);
  bytes.writeUInt8(allocate ? 1 : 0, 1);
  bytes.writeUInt16BE(0, 2);
  bytes.writeUInt32BE(length, 4);
  bytes.writeBigUInt64BE(BigInt(offset), 8);
  return bytes;
}

/**
 * @param bytes {@link operationBytes}
 * @param sizeBytes of the disk
 * @returns undefined where it is none, or not within the disk
 */
export function decodeOperation(bytes: Buffer, sizeBytes: number): Operation | undefined {
  const [type, flags, zero, length] = [bytes.readUInt8(), bytes.readUInt8(1), bytes.readUInt16BE(2), bytes.readUInt32BE(4)];
  const offset = bytes.readBigUInt64BE(8);
  const known = type >= operation.write && type <= operation.discard && flags <= (type === operation.zero ? 1 : 0) && zero === 0;
  if (!known || length === 0 || (type === operation.write && length > maxWriteBytes)) return undefined;
  if (offset + BigInt(length) > BigInt(sizeBytes)) return undefined;
  return { type, allocate: flags === 1, offset: Number(offset), length };
}
