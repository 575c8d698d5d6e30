/** A direction's keys, epoch after epoch. Each epoch's secret gives the next and is then gone: what is recorded before stays closed. */
import { epochBits, ivBytes, keyBytes, maxSequence } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { Aead } from '../native/evp.ts';
import { returnCell, takeCell } from '../native/secrets.ts';
import { expand, wipe } from './hkdf.ts';
import type { EpochLog } from './keylog.ts';

export class Epochs {
  readonly aead: Aead;
  readonly #cell = takeCell();
  readonly #secret = this.#cell.subarray(0, keyBytes);
  readonly #iv = this.#cell.subarray(keyBytes, keyBytes + ivBytes);
  #freed = false;
  #sequence: number;
  readonly #period: number;
  readonly #log: EpochLog | undefined;

  /**
   * @param secret the direction's secret: taken, which wipes it at the caller's
   * @param direction whether this end seals or opens
   * @param start how many records of this direction have gone by already, less than an epoch
   * @param bits log2 of the records in an epoch; other than the protocol's in tests only
   * @param log is told each epoch's secret; for debugging only
   */
  constructor(secret: Uint8Array, direction: 'seal' | 'open', start = 0, bits: number = epochBits, log?: EpochLog) {
    this.#secret.set(secret);
    wipe(secret);
    this.#sequence = start;
    this.#period = 2 ** bits;
    this.#log = log;
    log?.(0, this.#secret);
    const key = expand(this.#secret, 'key', undefined, keyBytes);
    this.aead = new Aead(key, direction);
    wipe(key);
    this.#takeIv();
  }

  /** The next record's sequence number. */
  get sequence(): number {
    return this.#sequence;
  }

  /**
   * Makes {@link aead} ready for the next record: its key and its nonce, iv XOR (0^32 ‖ sequence). Each call is one record.
   *
   * @returns its sequence number
   * @throws TransportError `limit` when no number is left
   */
  next(): number {
    const sequence = this.#sequence;
    if (sequence >= maxSequence) throw new TransportError('limit', 'sequence numbers are used up');
    if (sequence !== 0 && sequence % this.#period === 0) this.#advance();
    const { nonce } = this.aead;
    const high = Math.floor(sequence / 2 ** 32);
    const low = sequence >>> 0;
    nonce.set(this.#iv);
    for (let i = 0; i < 4; i++) {
      nonce[4 + i] = (this.#iv[4 + i] ?? 0) ^ ((high >>> (24 - 8 * i)) & 0xff);
      nonce[8 + i] = (this.#iv[8 + i] ?? 0) ^ ((low >>> (24 - 8 * i)) & 0xff);
    }
    this.#sequence = sequence + 1;
    return sequence;
  }

  /** Wipes and frees. Idempotent. */
  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.aead.free();
    returnCell(this.#cell);
  }

  #advance(): void {
    const following = expand(this.#secret, 'next');
    this.#secret.set(following);
    wipe(following);
    this.#log?.(this.#sequence / this.#period, this.#secret);
    const key = expand(this.#secret, 'key', undefined, keyBytes);
    this.aead.rekey(key);
    wipe(key);
    this.#takeIv();
  }

  #takeIv(): void {
    const iv = expand(this.#secret, 'iv', undefined, ivBytes);
    this.#iv.set(iv);
    wipe(iv);
  }
}
