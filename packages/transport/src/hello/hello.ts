/**
 * Both sides of a hello, without I/O:
 *
 *     source                                   destination
 *       │ ── M1: who, which channel, e_s, MAC ──► │  knows the attempt; MAC right
 *       │ ◄── M2: e_d, MAC ────────────────────── │
 *       │ ── CONFIRM: the first record ─────────► │  claims the channel
 *
 * Any message that is not right ends that connection and nothing else.
 */
import { confirmBytes, headerBytes, recordType } from '../constants.ts';
import { Epochs } from '../keys/epochs.ts';
import { equal, wipe } from '../keys/hkdf.ts';
import { type ChannelSecrets, channelSecrets, type HelloKeys, transcript } from '../keys/schedule.ts';
import { allocate, freeMemory } from '../native/memory.ts';
import { KeyPair } from '../native/x25519.ts';
import { readHeader, writeHeader } from '../record/header.ts';
import { decodeM2, encodeM1, encodeM2 } from './messages.ts';

export interface HelloIdentity {
  readonly version: number;
  readonly migration: string;
  readonly attempt: number;
  readonly channel: number;
}

/** What a finished hello leaves: the secrets, with the source's direction already one record on. */
export type Finished = ChannelSecrets;

/** The source's side. Call {@link begin}, then {@link finish} with the answer; {@link free} on every path. */
export class SourceHello {
  readonly #pair: KeyPair;
  readonly #m1: Buffer;
  readonly #keys: HelloKeys;
  readonly #context: Uint8Array;
  readonly #channel: number;

  /** @param pair a fresh one for each hello; taken. A fixed one for test vectors only */
  constructor(identity: HelloIdentity, keys: HelloKeys, context: Uint8Array, pair: KeyPair = new KeyPair()) {
    this.#pair = pair;
    this.#keys = keys;
    this.#context = context;
    this.#channel = identity.channel;
    this.#m1 = encodeM1({ ...identity, ephemeral: this.#pair.publicKey }, keys.hello);
  }

  begin(): Buffer {
    return this.#m1;
  }

  /**
   * @param m2 exactly its bytes
   * @returns CONFIRM to send and the channel's secrets, or `undefined` where the answer is not the destination's
   */
  finish(m2: Buffer): { confirm: Buffer; secrets: Finished } | undefined {
    const { ephemeral, confirmMac } = decodeM2(m2);
    const shared = this.#pair.exchange(ephemeral);
    if (!shared) return undefined;
    const th = transcript(this.#context, this.#m1, ephemeral);
    const derived = channelSecrets(this.#keys, shared, th);
    wipe(shared);
    if (!equal(derived.confirmMac, confirmMac)) {
      wipe(derived.sourceToDestination, derived.destinationToSource);
      return undefined;
    }
    try {
      return { confirm: sealConfirm(derived.sourceToDestination, this.#channel), secrets: derived };
    } catch (error) {
      wipe(derived.sourceToDestination, derived.destinationToSource);
      throw error;
    }
  }

  free(): void {
    this.#pair.free();
  }
}

/** The destination's side, once M1 is known to be authentic. {@link free} on every path. */
export class DestinationHello {
  readonly answer: Buffer;
  readonly #secrets: ChannelSecrets;
  readonly #channel: number;
  #given = false;

  private constructor(answer: Buffer, secrets: ChannelSecrets, channel: number) {
    this.answer = answer;
    this.#secrets = secrets;
    this.#channel = channel;
  }

  /**
   * @param pair a fresh one for each hello; freed. A fixed one for test vectors only
   * @returns `undefined` where the source's public key is of low order
   */
  static answering(
    m1: Buffer,
    ephemeral: Uint8Array,
    channel: number,
    keys: HelloKeys,
    context: Uint8Array,
    pair: KeyPair = new KeyPair(),
  ): DestinationHello | undefined {
    try {
      const shared = pair.exchange(ephemeral);
      if (!shared) return undefined;
      const th = transcript(context, m1, pair.publicKey);
      const derived = channelSecrets(keys, shared, th);
      wipe(shared);
      return new DestinationHello(encodeM2(pair.publicKey, derived.confirmMac), derived, channel);
    } finally {
      pair.free();
    }
  }

  /** @returns the channel's secrets where CONFIRM proves the source, which then has to take them; else `undefined` */
  finish(confirm: Buffer): Finished | undefined {
    if (!confirmIsAuthentic(confirm, this.#secrets.sourceToDestination, this.#channel)) return undefined;
    this.#given = true;
    return this.#secrets;
  }

  /** Wipes the secrets, unless {@link finish} has handed them over. */
  free(): void {
    if (!this.#given) wipe(this.#secrets.sourceToDestination, this.#secrets.destinationToSource);
  }
}

/** In Buffer's pool, not in V8's heap: where an array of 32 bytes is moved before it is wiped, its old place keeps it. */
const copyOf = (secret: Uint8Array): Buffer => Buffer.from(secret);

function sealConfirm(secret: Uint8Array, channel: number): Buffer {
  const memory = allocate(confirmBytes);
  const epochs = new Epochs(copyOf(secret), 'seal');
  try {
    writeHeader(memory.bytes, recordType.confirm, channel, 0, epochs.next());
    epochs.aead.seal(memory.address, headerBytes, 0, 0, 0, memory.address + headerBytes);
    return Buffer.from(memory.bytes);
  } finally {
    epochs.free();
    freeMemory(memory);
  }
}

function confirmIsAuthentic(confirm: Buffer, secret: Uint8Array, channel: number): boolean {
  if (confirm.length !== confirmBytes) throw new RangeError('CONFIRM');
  const memory = allocate(confirmBytes);
  const epochs = new Epochs(copyOf(secret), 'open');
  try {
    memory.bytes.set(confirm);
    const header = readHeader(memory.bytes);
    if (header.type !== recordType.confirm || header.channel !== channel || header.length !== 0 || header.zero !== 0) return false;
    if (header.sequence !== epochs.next()) return false;
    return epochs.aead.open(memory.address, headerBytes, 0, 0, 0, memory.address + headerBytes);
  } finally {
    epochs.free();
    freeMemory(memory);
  }
}
