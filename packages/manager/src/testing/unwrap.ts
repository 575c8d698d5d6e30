/** What an agent does with a wrapped key; here so that wrapping is tested against a second reading of the same definition. */
import { createDecipheriv, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { SealiftError, type WrappedKey } from '@sealift/contract';

/** RFC 8410 §4: the DER that stands before the 32 bytes of an X25519 public key. */
const spkiPrefix = Buffer.from('302a300506032b656e032100', 'hex');

export interface OfferedKey {
  readonly privateKey: KeyObject;
  readonly publicKey: Buffer;
}

export function offerKey(): OfferedKey {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey, publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(spkiPrefix.length) };
}

/** @throws Error where the wrap was made for another key or another context, or was changed */
export function unwrapKey(wrapped: WrappedKey, offered: OfferedKey, context: Buffer): Buffer {
  const ephemeral = Buffer.from(wrapped.ephemeral, 'base64url');
  const sealed = Buffer.from(wrapped.sealed, 'base64url');
  const publicKey = createPublicKey({ key: Buffer.concat([spkiPrefix, ephemeral]), format: 'der', type: 'spki' });
  const shared = diffieHellman({ privateKey: offered.privateKey, publicKey });
  const info = Buffer.concat([Buffer.from('sealift/1 key wrap'), Buffer.of(0), ephemeral, offered.publicKey, context]);
  const derived = Buffer.from(hkdfSync('sha256', shared, '', info, 44));
  const decipher = createDecipheriv('aes-256-gcm', derived.subarray(0, 32), derived.subarray(32));
  decipher.setAAD(context);
  decipher.setAuthTag(sealed.subarray(32));
  return Buffer.concat([decipher.update(sealed.subarray(0, 32)), decipher.final()]);
}

/** As {@link unwrapKey}, refused as an agent refuses. @throws SealiftError `invalid_request` */
export function openKey(wrapped: WrappedKey, offered: OfferedKey, context: Buffer): Buffer {
  try {
    return unwrapKey(wrapped, offered, context);
  } catch (cause) {
    throw new SealiftError('invalid_request', 'the key was not wrapped for this host and spec', { cause });
  }
}
