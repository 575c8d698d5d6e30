/**
 * Seals a spec's key for one agent, so that no HTTP, TLS or JSON buffer ever holds the key itself (docs/protocol.md, "key wrap").
 *
 *     e          an X25519 key pair of this one wrap
 *     Z          X25519(e, agent's public key)
 *     kek ‖ iv   HKDF-SHA256(salt = empty, ikm = Z, info = label ‖ 00 ‖ e.public ‖ agent.public ‖ ctx), 32 + 12 bytes
 *     sealed     AES-256-GCM(kek, iv, aad = ctx, key) = 32 bytes of ciphertext ‖ 16 bytes of tag
 *
 * The IV may be derived because kek is used once: e is new for every wrap.
 */
import { createCipheriv, createHmac, randomFillSync } from 'node:crypto';
import type { WrappedKey } from '@sealift/contract';
import { exchangeOnce } from './x25519.ts';

const label = Buffer.from('sealift/1 key wrap\0', 'ascii');
const keyBytes = 32;
const ivBytes = 12;

/** Fills the buffer with secret random bytes; a test hands in fixed ones. */
export type Random = (into: Buffer) => void;

/**
 * @param key the spec's key, 32 bytes; stays the caller's, who wipes it
 * @param agentPublicKey the X25519 public key that the agent offered for this attempt, 32 bytes
 * @param context {@link contextOf} the spec, 32 bytes
 * @throws RangeError for a wrong length
 * @throws Error for a public key of small order, whose shared secret everybody knows
 */
export function wrapKey(key: Buffer, agentPublicKey: Buffer, context: Buffer, random: Random = fillSecret): WrappedKey {
  for (const [name, bytes] of Object.entries({ key, agentPublicKey, context })) {
    if (bytes.length !== 32) throw new RangeError(`${name}: ${bytes.length} bytes in place of 32`);
  }
  const ephemeral = Buffer.alloc(keyBytes);
  let shared: Buffer | undefined;
  let wrapping: WrappingKey | undefined;
  try {
    random(ephemeral);
    const exchanged = exchangeOnce(ephemeral, agentPublicKey);
    shared = exchanged.shared;
    const info = Buffer.concat([label, exchanged.publicKey, agentPublicKey, context]);
    wrapping = wrappingKey(shared, info);
    const cipher = createCipheriv('aes-256-gcm', wrapping.key, wrapping.iv);
    cipher.setAAD(context);
    const sealed = Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()]);
    return { ephemeral: exchanged.publicKey.toString('base64url'), sealed: sealed.toString('base64url') };
  } finally {
    ephemeral.fill(0);
    shared?.fill(0);
    wrapping?.key.fill(0);
    wrapping?.iv.fill(0);
  }
}

interface WrappingKey {
  readonly key: Buffer;
  readonly iv: Buffer;
}

/** RFC 5869 with an empty salt and two blocks of output. Not hkdfSync: that keeps a copy of `shared` in a KeyObject until it is collected. */
function wrappingKey(shared: Buffer, info: Buffer): WrappingKey {
  const root = hmac(Buffer.alloc(0), shared);
  const key = hmac(root, info, Buffer.of(1));
  const second = hmac(root, key, info, Buffer.of(2));
  root.fill(0);
  second.fill(0, ivBytes);
  return { key, iv: second.subarray(0, ivBytes) };
}

function hmac(key: Buffer, ...parts: Buffer[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

const fillSecret: Random = (into) => {
  randomFillSync(into);
};
