/**
 * X25519 (RFC 7748) by the OpenSSL inside this Node.js, called directly: a KeyObject of node:crypto would keep its private key in memory until it is
 * garbage-collected, and with it and what went over the wire a migration's key can be unwrapped.
 */
import koffi from 'koffi';

const lib = koffi.load(null);
const pkey = {
  fromPrivate: lib.func('void *EVP_PKEY_new_raw_private_key(int, void *, const void *, size_t)'),
  fromPublic: lib.func('void *EVP_PKEY_new_raw_public_key(int, void *, const void *, size_t)'),
  publicOf: lib.func('int EVP_PKEY_get_raw_public_key(void *, void *, void *)'),
  free: lib.func('void EVP_PKEY_free(void *)'),
  newContext: lib.func('void *EVP_PKEY_CTX_new(void *, void *)'),
  freeContext: lib.func('void EVP_PKEY_CTX_free(void *)'),
  deriveInit: lib.func('int EVP_PKEY_derive_init(void *)'),
  setPeer: lib.func('int EVP_PKEY_derive_set_peer(void *, void *)'),
  derive: lib.func('int EVP_PKEY_derive(void *, void *, void *)'),
} as const;

const EVP_PKEY_X25519 = 1034;
const bytes = 32;

/**
 * Uses a private key once. OpenSSL's copy of it is overwritten before this returns; the buffer stays the caller's, who wipes it.
 *
 * @param privateKey 32 bytes
 * @param peer the other side's public key, 32 bytes
 * @returns the key's own public half, and the shared secret, which the caller wipes
 * @throws Error for a public key of small order, whose shared secret everybody knows, and where OpenSSL fails
 */
export function exchangeOnce(privateKey: Buffer, peer: Buffer): { publicKey: Buffer; shared: Buffer } {
  const [publicKey, shared, length] = [Buffer.alloc(bytes), outsideHeap(bytes), Buffer.alloc(8)];
  length.writeBigUInt64LE(BigInt(bytes));
  const own = pkey.fromPrivate(EVP_PKEY_X25519, null, privateKey, bytes);
  const other = pkey.fromPublic(EVP_PKEY_X25519, null, peer, bytes);
  const context = own ? pkey.newContext(own, null) : null;
  try {
    if (!own || !other || !context) throw new Error('X25519: OpenSSL made no key');
    if (pkey.publicOf(own, publicKey, length) !== 1) throw new Error('X25519: no public key');
    if (pkey.deriveInit(context) !== 1 || pkey.setPeer(context, other) !== 1 || pkey.derive(context, shared, length) !== 1) {
      throw new Error('X25519: the public key is of small order');
    }
    // The calls leave `shared` on the stack that koffi makes them on, where nothing else may come for hours: the same once more writes over it.
    if (pkey.setPeer(context, own) !== 1 || pkey.derive(context, outsideHeap(bytes), length) !== 1)
      throw new Error('X25519: OpenSSL failed');
    return { publicKey, shared };
  } finally {
    pkey.freeContext(context);
    pkey.free(other);
    pkey.free(own);
  }
}

/** V8 keeps arrays of up to 64 bytes in its heap, and leaves them there as they are once native code asks for them: a copy that nobody can wipe. */
const outsideHeap = (length: number): Buffer => Buffer.alloc(Math.max(length, 128)).subarray(0, length);
