/** HKDF-SHA256 (RFC 5869) in its two halves, for outputs of up to one hash. Results are the caller's to wipe. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { hashBytes } from '../constants.ts';

export const sha256 = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer => {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
};

/** RFC 5869 §2.2. */
export const extract = (salt: Uint8Array, inputKey: Uint8Array): Buffer => hmac(salt, inputKey);

/**
 * RFC 5869 §2.3 with L ≤ 32: a single block.
 *
 * @param label ASCII, followed by `context` in HKDF's info
 */
export function expand(key: Uint8Array, label: string, context: Uint8Array = new Uint8Array(0), length: number = hashBytes): Buffer {
  if (length > hashBytes) throw new RangeError('length');
  const block = hmac(key, Buffer.from(label, 'latin1'), context, Uint8Array.of(1));
  if (length === hashBytes) return block;
  const out = Buffer.from(block.subarray(0, length));
  block.fill(0);
  return out;
}

/** In time that does not depend on where they differ. */
export const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b);

/** Overwrites what is no longer needed. */
export function wipe(...secrets: (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}
