/** X25519 (RFC 7748) by the OpenSSL inside this Node.js. Private keys exist in one wiped page and in OpenSSL, which overwrites them when it frees them. */
import { randomFillSync } from 'node:crypto';
import koffi from 'koffi';
import { TransportError } from '../errors.ts';
import { hold, holdingKind, letGo } from './holdings.ts';
import { allocate, freeMemory } from './memory.ts';

const lib = koffi.load(null);
const bind = <F>(declaration: string): F => lib.func(declaration) as F; // as in libc.ts: the declaration is the type
type Call<N extends number[]> = (...args: N) => number;
const pointer = 'uintptr_t';

/** Always called through the table, whose functions a test of failures replaces (testing/faults.ts). */
export const pkey = {
  fromPrivate: bind<Call<[type: number, engine: number, key: number, length: number]>>(
    `${pointer} EVP_PKEY_new_raw_private_key(int, ${pointer}, ${pointer}, size_t)`,
  ),
  fromPublic: bind<Call<[type: number, engine: number, key: number, length: number]>>(
    `${pointer} EVP_PKEY_new_raw_public_key(int, ${pointer}, ${pointer}, size_t)`,
  ),
  publicOf: bind<Call<[key: number, out: number, length: number]>>(`int EVP_PKEY_get_raw_public_key(${pointer}, ${pointer}, ${pointer})`),
  freeKey: bind<(key: number) => void>(`void EVP_PKEY_free(${pointer})`),
  newContext: bind<Call<[key: number, engine: number]>>(`${pointer} EVP_PKEY_CTX_new(${pointer}, ${pointer})`),
  freeContext: bind<(context: number) => void>(`void EVP_PKEY_CTX_free(${pointer})`),
  deriveInit: bind<Call<[context: number]>>(`int EVP_PKEY_derive_init(${pointer})`),
  setPeer: bind<Call<[context: number, peer: number]>>(`int EVP_PKEY_derive_set_peer(${pointer}, ${pointer})`),
  derive: bind<Call<[context: number, out: number, length: number]>>(`int EVP_PKEY_derive(${pointer}, ${pointer}, ${pointer})`),
} as const;

const EVP_PKEY_X25519 = 1034;
const bytes = 32;

/** A private key for one exchange. Whoever made it calls {@link KeyPair.free}, on every path. */
export class KeyPair {
  #key = 0;
  readonly publicKey: Buffer;

  /** @param privateKey 32 bytes, for test vectors only; without it the key is random */
  constructor(privateKey?: Uint8Array) {
    const memory = allocate(128, { secret: true });
    try {
      if (privateKey) memory.bytes.set(privateKey, 0);
      else randomFillSync(memory.bytes, 0, bytes);
      this.#key = pkey.fromPrivate(EVP_PKEY_X25519, 0, memory.address, bytes);
      if (this.#key === 0) throw new TransportError('local', 'EVP_PKEY_new_raw_private_key failed');
      hold(holdingKind.keyPair, this.#key);
      new DataView(memory.bytes.buffer).setBigUint64(96, BigInt(bytes), true);
      if (pkey.publicOf(this.#key, memory.address + 32, memory.address + 96) !== 1) {
        throw new TransportError('local', 'EVP_PKEY_get_raw_public_key failed');
      }
      this.publicKey = Buffer.from(memory.bytes.subarray(32, 64));
    } catch (error) {
      this.free();
      throw error;
    } finally {
      freeMemory(memory);
    }
  }

  /**
   * @param peer the other side's public key, 32 bytes
   * @returns the shared secret, for the caller to wipe; `undefined` where the peer's key is of low order (RFC 7748 §6.1)
   */
  exchange(peer: Uint8Array): Buffer | undefined {
    if (this.#key === 0) throw new Error('the key pair has been freed');
    if (peer.length !== bytes) throw new RangeError('peer');
    const memory = allocate(128, { secret: true });
    let other = 0;
    let context = 0;
    try {
      memory.bytes.set(peer, 0);
      other = pkey.fromPublic(EVP_PKEY_X25519, 0, memory.address, bytes);
      context = pkey.newContext(this.#key, 0);
      if (other === 0 || context === 0 || pkey.deriveInit(context) !== 1) throw new TransportError('local', 'X25519 failed');
      // OpenSSL refuses low-order points either when it is told the peer or when it derives.
      if (pkey.setPeer(context, other) !== 1) return undefined;
      new DataView(memory.bytes.buffer).setBigUint64(96, BigInt(bytes), true);
      if (pkey.derive(context, memory.address + 32, memory.address + 96) !== 1) return undefined;
      return Buffer.from(memory.bytes.subarray(32, 64));
    } finally {
      pkey.freeContext(context);
      pkey.freeKey(other);
      freeMemory(memory);
    }
  }

  /** Idempotent. */
  free(): void {
    if (this.#key === 0) return;
    letGo(this.#key);
    pkey.freeKey(this.#key);
    this.#key = 0;
  }
}
