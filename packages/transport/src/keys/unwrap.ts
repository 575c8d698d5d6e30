/** How a spec's key reaches an agent: wrapped to an X25519 key made for this attempt. docs/protocol.md "key wrap". */
import { ivBytes, keyBytes, tagBytes } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { Aead } from '../native/evp.ts';
import { allocate, freeMemory } from '../native/memory.ts';
import { KeyPair } from '../native/x25519.ts';
import { extract, hmac, wipe } from './hkdf.ts';

export interface WrappedKey {
  /** The manager's public key, 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** 32 bytes of ciphertext and 16 of tag. */
  readonly sealed: Uint8Array;
}

/** The agent's side: one key pair, one unwrapping. */
export class KeyUnwrapper {
  readonly #pair: KeyPair;

  /** @param privateKey for test vectors only */
  constructor(privateKey?: Uint8Array) {
    this.#pair = new KeyPair(privateKey);
  }

  get publicKey(): Buffer {
    return this.#pair.publicKey;
  }

  /**
   * Frees the key pair, whatever comes of it.
   *
   * @param context the spec's context hash: a key wrapped for another spec does not open
   * @returns the spec's key, 32 bytes, for the caller to wipe
   * @throws TransportError `hello` where the wrapping is not authentic
   */
  unwrap(wrapped: WrappedKey, context: Uint8Array): Buffer {
    let shared: Buffer | undefined;
    let wrapping: WrappingKey | undefined;
    try {
      if (wrapped.ephemeral.length !== 32 || wrapped.sealed.length !== keyBytes + tagBytes) throw refused();
      shared = this.#pair.exchange(wrapped.ephemeral);
      if (!shared) throw refused();
      const info = Buffer.concat([Buffer.from('sealift/1 key wrap\0', 'latin1'), wrapped.ephemeral, this.#pair.publicKey, context]);
      wrapping = wrappingKey(shared, info);
      const key = open(wrapping, context, wrapped.sealed);
      if (!key) throw refused();
      return key;
    } finally {
      wipe(shared, wrapping?.key, wrapping?.iv);
      this.free();
    }
  }

  /** Idempotent. */
  free(): void {
    this.#pair.free();
  }
}

interface WrappingKey {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** HKDF with two blocks of output. Not hkdfSync: that keeps a copy of `shared` in a KeyObject until it is collected. */
function wrappingKey(shared: Uint8Array, info: Uint8Array): WrappingKey {
  const root = extract(new Uint8Array(0), shared);
  const key = hmac(root, info, Uint8Array.of(1));
  const second = hmac(root, key, info, Uint8Array.of(2));
  wipe(root, second.subarray(ivBytes));
  return { key, iv: second.subarray(0, ivBytes) };
}

/** Not createDecipheriv: that shortens what it has opened by copying it, and frees the original as it is. */
function open(wrapping: WrappingKey, context: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  const memory = allocate(context.length + sealed.length + keyBytes, { secret: true });
  let aead: Aead | undefined;
  try {
    memory.bytes.set(context, 0);
    memory.bytes.set(sealed, context.length);
    const at = memory.address + context.length;
    const plain = at + sealed.length;
    aead = new Aead(wrapping.key, 'open');
    aead.nonce.set(wrapping.iv);
    if (!aead.open(memory.address, context.length, at, plain, keyBytes, at + keyBytes)) return undefined;
    // From Buffer's pool. One of its own would be so small that V8 keeps it in its heap, and leaves it there as it is once native code asks for it.
    return Buffer.from(memory.bytes.subarray(plain - memory.address));
  } finally {
    aead?.free();
    freeMemory(memory);
  }
}

const refused = (): TransportError => new TransportError('hello', "the spec's key was not wrapped for this attempt");
