/** From the spec's key to the secrets of each channel. docs/protocol.md "keys" draws this tree. */
import { expand, extract, hmac, sha256, wipe } from './hkdf.ts';

/** What a hello needs of the spec's key, so that the key itself can go. Both are 32 bytes. */
export interface HelloKeys {
  /** Authenticates M1. */
  readonly hello: Uint8Array;
  /** The salt under which a Diffie-Hellman result becomes a channel's key. */
  readonly dh: Uint8Array;
}

/** One secret per direction, from which its epochs follow. The holder wipes them. */
export interface ChannelSecrets {
  readonly sourceToDestination: Uint8Array;
  readonly destinationToSource: Uint8Array;
}

/** @param key the spec's 256-bit key; not wiped here */
export function helloKeys(key: Uint8Array, nonce: Uint8Array, context: Uint8Array): HelloKeys {
  const root = extract(nonce, key);
  try {
    return { hello: expand(root, 'hello', context), dh: expand(root, 'dh', context) };
  } finally {
    wipe(root);
  }
}

/** TH: what both sides have said so far. */
export const transcript = (context: Uint8Array, m1: Uint8Array, destinationEphemeral: Uint8Array): Buffer =>
  sha256(context, m1, destinationEphemeral);

export interface Derived extends ChannelSecrets {
  /** The MAC that the destination's M2 ends with. */
  readonly confirmMac: Uint8Array;
}

/** @param shared the X25519 result; not wiped here */
export function channelSecrets(keys: HelloKeys, shared: Uint8Array, th: Uint8Array): Derived {
  const channel = extract(keys.dh, shared);
  const confirm = expand(channel, 'confirm', th);
  try {
    return {
      confirmMac: hmac(confirm, th),
      sourceToDestination: expand(channel, 'source to destination', th),
      destinationToSource: expand(channel, 'destination to source', th),
    };
  } finally {
    wipe(channel, confirm);
  }
}
