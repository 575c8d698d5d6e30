/** M1 and M2, byte for byte. Lengths are fixed, so nothing a stranger sends decides how much is read. docs/protocol.md "hello". */
import { hashBytes, m1Bytes, m2Bytes } from '../constants.ts';
import { migrationId } from '../keys/context.ts';
import { equal, hmac } from '../keys/hkdf.ts';

const macAt = m1Bytes - hashBytes;
const ephemeralAt = macAt - 32;

/** The parts of an M1 by which a destination finds the attempt. Not authentic until {@link m1IsAuthentic}. */
export interface M1Fields {
  readonly version: number;
  /** 16 bytes in hexadecimal. */
  readonly migration: string;
  readonly attempt: number;
  readonly channel: number;
  /** 32 bytes, a view. */
  readonly ephemeral: Uint8Array;
}

/** @param helloKey {@link HelloKeys.hello} */
export function encodeM1(
  fields: { version: number; migration: string; attempt: number; channel: number; ephemeral: Uint8Array },
  helloKey: Uint8Array,
): Buffer {
  const out = Buffer.alloc(m1Bytes);
  out.writeUInt8(fields.version, 0);
  migrationId(fields.migration).copy(out, 1);
  out.writeUInt32BE(fields.attempt, 17);
  out.writeUInt16BE(fields.channel, 21);
  out.set(fields.ephemeral, ephemeralAt);
  hmac(helloKey, out.subarray(0, macAt)).copy(out, macAt);
  return out;
}

/** @param bytes exactly {@link m1Bytes} */
export function decodeM1(bytes: Buffer): M1Fields {
  if (bytes.length !== m1Bytes) throw new RangeError('M1');
  return {
    version: bytes.readUInt8(0),
    migration: bytes.toString('hex', 1, 17),
    attempt: bytes.readUInt32BE(17),
    channel: bytes.readUInt16BE(21),
    ephemeral: bytes.subarray(ephemeralAt, macAt),
  };
}

export const m1IsAuthentic = (bytes: Buffer, helloKey: Uint8Array): boolean =>
  equal(bytes.subarray(macAt), hmac(helloKey, bytes.subarray(0, macAt)));

export const encodeM2 = (ephemeral: Uint8Array, confirmMac: Uint8Array): Buffer => Buffer.concat([ephemeral, confirmMac], m2Bytes);

/** @param bytes exactly {@link m2Bytes}; the results are views */
export function decodeM2(bytes: Buffer): { ephemeral: Uint8Array; confirmMac: Uint8Array } {
  if (bytes.length !== m2Bytes) throw new RangeError('M2');
  return { ephemeral: bytes.subarray(0, 32), confirmMac: bytes.subarray(32) };
}
