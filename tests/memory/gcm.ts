/**
 * Tries AES-256 keys on captured records (docs/protocol.md "records") without being told their IV: the key alone gives it away, because GCM's tag is
 * GHASH(A, C) XOR E(K, IV ‖ 1) (NIST SP 800-38D §7.1), so that IV ‖ 1 = D(K, tag XOR GHASH(A, C)). With a wrong key that ends in 1 once in 2^32.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';

const headerBytes = 16;
const tagBytes = 16;

/** @param records of one direction, from its first (sequence 0) on; all of epoch 0 */
export function opens(key: Buffer, records: readonly Buffer[]): boolean {
  const [first, ...others] = records;
  const iv = first && ivOf(key, first);
  return iv !== undefined && others.every((record, i) => isAuthentic(key, iv, i + 1, record));
}

function ivOf(key: Buffer, record: Buffer): Buffer | undefined {
  const encrypt = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const hash = ghash(encrypt.update(Buffer.alloc(16)), record.subarray(0, headerBytes), record.subarray(headerBytes, -tagBytes));
  const tag = record.subarray(-tagBytes);
  const counter = createDecipheriv('aes-256-ecb', key, null)
    .setAutoPadding(false)
    .update(Buffer.from(hash.map((byte, i) => byte ^ (tag[i] ?? 0))));
  return counter.readUInt32BE(12) === 1 ? counter.subarray(0, 12) : undefined;
}

function isAuthentic(key: Buffer, iv: Buffer, sequence: number, record: Buffer): boolean {
  const nonce = Buffer.from(iv);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence) >>> 0, 8);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(record.subarray(0, headerBytes)).setAuthTag(record.subarray(-tagBytes));
  decipher.update(record.subarray(headerBytes, -tagBytes));
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

/** NIST SP 800-38D §6.4, a bit at a time: for short records. */
function ghash(h: Buffer, aad: Buffer, sealed: Buffer): Buffer {
  const lengths = Buffer.alloc(16);
  lengths.writeBigUInt64BE(BigInt(aad.length) * 8n);
  lengths.writeBigUInt64BE(BigInt(sealed.length) * 8n, 8);
  const key = numberOf(h);
  let y = 0n;
  for (const part of [aad, sealed, lengths]) {
    for (let at = 0; at < part.length; at += 16) {
      const block = Buffer.alloc(16);
      part.copy(block, 0, at, at + 16);
      y = multiply(y ^ numberOf(block), key);
    }
  }
  return Buffer.from(y.toString(16).padStart(32, '0'), 'hex');
}

const numberOf = (block: Buffer): bigint => BigInt(`0x${block.toString('hex')}`);

/** §6.3: in GF(2^128), where the highest bit is the lowest power. */
function multiply(x: bigint, y: bigint): bigint {
  let z = 0n;
  let v = y;
  for (let bit = 127n; bit >= 0n; bit--) {
    if ((x >> bit) & 1n) z ^= v;
    v = v & 1n ? (v >> 1n) ^ (0xe1n << 120n) : v >> 1n;
  }
  return z;
}
