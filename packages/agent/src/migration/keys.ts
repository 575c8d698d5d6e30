/** The key pairs that this agent has offered for attempts, each for one unwrapping and a short while. */

import type { MigrationSpec } from '@sealift/contract';
import { SealiftError, type WrappedKey } from '@sealift/contract';
import { contextHash, KeyUnwrapper, TransportError } from '@sealift/transport';
import { keyOf } from '../handover/records.ts';
import { toAttempt, toWrappedKey } from './spec.ts';

/** A manager uses an offer within the same order; a forgotten one must not stay. */
const offerMs = 60_000;
/** More than any manager has under way with one host. */
const maxOffers = 64;

export class KeyOffers {
  readonly #offers = new Map<string, { unwrapper: KeyUnwrapper; timer: NodeJS.Timeout }>();

  /** @returns the public key. Another offer for the same attempt replaces the first */
  offer(attempt: { readonly migration: string; readonly attempt: number }): Buffer {
    const key = keyOf(attempt);
    this.#remove(key)?.free();
    if (this.#offers.size >= maxOffers)
      throw new SealiftError('no_room', 'too many migrations are being prepared here; try again in a minute');
    const unwrapper = new KeyUnwrapper();
    const timer = setTimeout(() => this.#remove(key)?.free(), offerMs);
    timer.unref();
    this.#offers.set(key, { unwrapper, timer });
    return unwrapper.publicKey;
  }

  /**
   * @returns the spec's key, 32 bytes, for the caller to wipe
   * @throws SealiftError `invalid_request` where no key was offered for it, or it was wrapped for another spec
   */
  unwrap(spec: MigrationSpec, wrapped: WrappedKey): Buffer {
    const unwrapper = this.#remove(keyOf(spec));
    if (!unwrapper)
      throw new SealiftError('invalid_request', 'no key was offered for this attempt, or too long ago; order the migration again');
    try {
      return unwrapper.unwrap(toWrappedKey(wrapped), contextHash(toAttempt(spec)));
    } catch (cause) {
      if (!(cause instanceof TransportError)) throw cause;
      throw new SealiftError('invalid_request', cause.message, { cause });
    }
  }

  clear(): void {
    for (const key of [...this.#offers.keys()]) this.#remove(key)?.free();
  }

  #remove(key: string): KeyUnwrapper | undefined {
    const offer = this.#offers.get(key);
    if (!offer) return undefined;
    clearTimeout(offer.timer);
    this.#offers.delete(key);
    return offer.unwrapper;
  }
}
