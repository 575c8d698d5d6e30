/**
 * AES-256-GCM and X25519 by the OpenSSL inside this Node.js, called directly: one context per direction and epoch, nothing allocated per
 * record. Every return value and length is checked before a byte moves on (EVP_EncryptUpdate after a Final fails by leaving its output as it was).
 */
import koffi from 'koffi';
import { ivBytes, keyBytes, tagBytes } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { hold, holdingKind, letGo } from './holdings.ts';
import { allocate, type Memory } from './memory.ts';

const lib = koffi.load(null);
const bind = <F>(declaration: string): F => lib.func(declaration) as F; // as in libc.ts: the declaration is the type

type Call<N extends number[]> = (...args: N) => number;
const pointer = 'uintptr_t';

/** Always called through the table, whose functions a test of failures replaces (testing/faults.ts). */
export const evp = {
  aes256gcm: bind<Call<[]>>(`${pointer} EVP_aes_256_gcm()`),
  newContext: bind<Call<[]>>(`${pointer} EVP_CIPHER_CTX_new()`),
  freeContext: bind<(context: number) => void>(`void EVP_CIPHER_CTX_free(${pointer})`),
  control: bind<Call<[context: number, type: number, argument: number, data: number]>>(
    `int EVP_CIPHER_CTX_ctrl(${pointer}, int, int, ${pointer})`,
  ),
  encryptInit: bind<Call<[context: number, cipher: number, engine: number, key: number, iv: number]>>(
    `int EVP_EncryptInit_ex(${pointer}, ${pointer}, ${pointer}, ${pointer}, ${pointer})`,
  ),
  encryptUpdate: bind<Call<[context: number, out: number, outLength: number, input: number, length: number]>>(
    `int EVP_EncryptUpdate(${pointer}, ${pointer}, ${pointer}, ${pointer}, int)`,
  ),
  encryptFinal: bind<Call<[context: number, out: number, outLength: number]>>(
    `int EVP_EncryptFinal_ex(${pointer}, ${pointer}, ${pointer})`,
  ),
  decryptInit: bind<Call<[context: number, cipher: number, engine: number, key: number, iv: number]>>(
    `int EVP_DecryptInit_ex(${pointer}, ${pointer}, ${pointer}, ${pointer}, ${pointer})`,
  ),
  decryptUpdate: bind<Call<[context: number, out: number, outLength: number, input: number, length: number]>>(
    `int EVP_DecryptUpdate(${pointer}, ${pointer}, ${pointer}, ${pointer}, int)`,
  ),
  decryptFinal: bind<Call<[context: number, out: number, outLength: number]>>(
    `int EVP_DecryptFinal_ex(${pointer}, ${pointer}, ${pointer})`,
  ),
} as const;

const GET_TAG = 0x10;
const SET_TAG = 0x11;

/** Where {@link Aead} keeps the key (once), the nonce, the tag and OpenSSL's lengths while it calls. One page a thread. */
interface Scratch {
  readonly memory: Memory;
  readonly key: number;
  readonly iv: number;
  readonly tag: number;
  readonly length: number;
  readonly final: number;
  readonly lengths: Int32Array;
}

let scratchOfThread: Scratch | undefined;

const scratch = (): Scratch => {
  if (!scratchOfThread) {
    const memory = allocate(256, { secret: true });
    const at = memory.address;
    scratchOfThread = {
      memory,
      key: at,
      iv: at + 32,
      tag: at + 64,
      length: at + 96,
      final: at + 128,
      lengths: new Int32Array(memory.bytes.buffer, 96, 1),
    };
  }
  return scratchOfThread;
};

/**
 * One AES-256-GCM key in one direction (NIST SP 800-38D). The caller's part is never to use a nonce twice.
 *
 * Addresses are of native memory (native/memory.ts); a length is of the payload alone.
 */
export class Aead {
  #context: number;
  readonly #seals: boolean;
  readonly #scratch = scratch();
  /** This thread's nonce buffer: 12 bytes, to be filled before each {@link seal} and {@link open}. */
  readonly nonce = this.#scratch.memory.bytes.subarray(32, 32 + ivBytes);

  /** @param key 32 bytes; copied into OpenSSL and not kept otherwise */
  constructor(key: Uint8Array, direction: 'seal' | 'open') {
    if (key.length !== keyBytes) throw new RangeError('key');
    this.#seals = direction === 'seal';
    this.#context = evp.newContext();
    if (this.#context === 0) throw new TransportError('local', 'EVP_CIPHER_CTX_new failed');
    try {
      hold(holdingKind.context, this.#context);
      this.rekey(key);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  /** The same context with another key; the old one is overwritten. */
  rekey(key: Uint8Array): void {
    const s = this.#scratch;
    s.memory.bytes.set(key, 0);
    const init = this.#seals ? evp.encryptInit : evp.decryptInit;
    const ok = init(this.#context, evp.aes256gcm(), 0, s.key, 0);
    s.memory.bytes.fill(0, 0, keyBytes);
    if (ok !== 1) throw new TransportError('local', 'EVP init failed');
  }

  /**
   * Seals `length` bytes at `plain` to `sealed`, which is the same place or does not overlap, and writes the tag to `tag`.
   *
   * @throws TransportError `local` where OpenSSL fails; nothing at `sealed` may then be used
   */
  seal(aad: number, aadLength: number, plain: number, sealed: number, length: number, tag: number): void {
    const s = this.#scratch;
    if (evp.encryptInit(this.#context, 0, 0, 0, s.iv) !== 1) this.#fail('init');
    this.#update(evp.encryptUpdate, 0, aad, aadLength);
    if (length > 0) this.#update(evp.encryptUpdate, sealed, plain, length);
    if (evp.encryptFinal(this.#context, s.final, s.length) !== 1 || s.lengths[0] !== 0) this.#fail('final');
    if (evp.control(this.#context, GET_TAG, tagBytes, tag) !== 1) this.#fail('tag');
  }

  /**
   * Opens `length` bytes at `sealed` to `plain`, as in {@link seal}. What stands at `plain` is unverified until this has returned true.
   *
   * @returns whether it is authentic
   * @throws TransportError `local` where OpenSSL fails otherwise
   */
  open(aad: number, aadLength: number, sealed: number, plain: number, length: number, tag: number): boolean {
    const s = this.#scratch;
    if (evp.decryptInit(this.#context, 0, 0, 0, s.iv) !== 1) this.#fail('init');
    if (evp.control(this.#context, SET_TAG, tagBytes, tag) !== 1) this.#fail('tag');
    this.#update(evp.decryptUpdate, 0, aad, aadLength);
    if (length > 0) this.#update(evp.decryptUpdate, plain, sealed, length);
    return evp.decryptFinal(this.#context, s.final, s.length) === 1;
  }

  /** OpenSSL overwrites the key schedule and frees it. Idempotent. */
  free(): void {
    if (this.#context === 0) return;
    letGo(this.#context);
    evp.freeContext(this.#context);
    this.#context = 0;
    // A record's nonce is half a secret: with its sequence number it gives the IV. The next call on this thread brings its own.
    this.nonce.fill(0);
  }

  #update(call: typeof evp.encryptUpdate, out: number, input: number, length: number): void {
    // So that a length which an earlier call has left behind is never taken for this one's.
    this.#scratch.lengths[0] = -1;
    if (call(this.#context, out, this.#scratch.length, input, length) !== 1 || this.#scratch.lengths[0] !== length) this.#fail('update');
  }

  #fail(step: string): never {
    throw new TransportError('local', `OpenSSL's AES-256-GCM failed at its ${step}`);
  }
}
