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
import { createCipheriv, createPrivateKey, createPublicKey, diffieHellman, hkdfSync, type KeyObject, randomFillSync } from 'node:crypto';
import type { WrappedKey } from '@sealift/contract';

const label = Buffer.from('sealift/1 key wrap\0', 'ascii');
const keyBytes = 32;
const ivBytes = 12;

/** RFC 8410 §7 and §4: the DER that stands before the 32 bytes of an X25519 key. */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
const spkiPrefix = Buffer.from('302a300506032b656e032100', 'hex');

/** Fills the buffer with secret random bytes; a test hands in fixed ones. */
export type Random = (into: Buffer) => void;

/**
 * @param key the spec's key, 32 bytes; stays the caller's, who wipes it
 * @param agentPublicKey the X25519 public key that the agent offered for this attempt, 32 bytes
 * @param context {@link contextOf} the spec, 32 bytes
 * @throws RangeError for a wrong length
 * @throws Error of node:crypto for a public key of small order, whose shared secret everybody knows
 */
export function wrapKey(key: Buffer, agentPublicKey: Buffer, context: Buffer, random: Random = fillSecret): WrappedKey {
  for (const [name, bytes] of Object.entries({ key, agentPublicKey, context })) {
    if (bytes.length !== 32) throw new RangeError(`${name}: ${bytes.length} bytes in place of 32`);
  }
  const pkcs8 = Buffer.alloc(pkcs8Prefix.length + 32);
  let shared: Buffer | undefined;
  let derived: Buffer | undefined;
  try {
    pkcs8Prefix.copy(pkcs8);
    random(pkcs8.subarray(pkcs8Prefix.length));
    const ephemeral = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
    const ephemeralPublic = rawPublicKey(createPublicKey(ephemeral));
    shared = diffieHellman({ privateKey: ephemeral, publicKey: x25519PublicKey(agentPublicKey) });
    derived = Buffer.from(
      hkdfSync('sha256', shared, Buffer.alloc(0), Buffer.concat([label, ephemeralPublic, agentPublicKey, context]), keyBytes + ivBytes),
    );
    const cipher = createCipheriv('aes-256-gcm', derived.subarray(0, keyBytes), derived.subarray(keyBytes));
    cipher.setAAD(context);
    const sealed = Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()]);
    return { ephemeral: ephemeralPublic.toString('base64url'), sealed: sealed.toString('base64url') };
  } finally {
    pkcs8.fill(0);
    shared?.fill(0);
    derived?.fill(0);
  }
}

/** The KeyObject of a raw X25519 public key. */
export const x25519PublicKey = (raw: Buffer): KeyObject =>
  createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' });

/** The raw 32 bytes of an X25519 public key. */
export const rawPublicKey = (key: KeyObject): Buffer => key.export({ format: 'der', type: 'spki' }).subarray(spkiPrefix.length);

const fillSecret: Random = (into) => {
  randomFillSync(into);
};
