/** How a spec's key reaches an agent: wrapped to an X25519 key made for this attempt. docs/protocol.md "key wrap". */
import { createDecipheriv, hkdfSync } from 'node:crypto';
import { ivBytes, keyBytes, tagBytes } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { KeyPair } from '../native/x25519.ts';
import { wipe } from './hkdf.ts';

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
    let keys: Uint8Array | undefined;
    const out = Buffer.alloc(keyBytes);
    try {
      if (wrapped.ephemeral.length !== 32 || wrapped.sealed.length !== keyBytes + tagBytes) throw refused();
      shared = this.#pair.exchange(wrapped.ephemeral);
      if (!shared) throw refused();
      const info = Buffer.concat([Buffer.from('sealift/1 key wrap\0', 'latin1'), wrapped.ephemeral, this.#pair.publicKey, context]);
      keys = new Uint8Array(hkdfSync('sha256', shared, new Uint8Array(0), info, keyBytes + ivBytes));
      const decipher = createDecipheriv('aes-256-gcm', keys.subarray(0, keyBytes), keys.subarray(keyBytes));
      decipher.setAAD(context);
      decipher.setAuthTag(wrapped.sealed.subarray(keyBytes));
      const plain = decipher.update(wrapped.sealed.subarray(0, keyBytes));
      try {
        decipher.final();
      } catch {
        wipe(plain);
        throw refused();
      }
      plain.copy(out);
      wipe(plain);
      return out;
    } finally {
      wipe(shared, keys);
      this.free();
    }
  }

  /** Idempotent. */
  free(): void {
    this.#pair.free();
  }
}

const refused = (): TransportError => new TransportError('hello', "the spec's key was not wrapped for this attempt");
