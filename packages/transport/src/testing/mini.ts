/**
 * The protocol once more, written from docs/protocol.md with node:crypto alone: what the vectors and the real implementation are checked
 * against, and the peer that tests tamper with. Slow, and keeps its keys; for tests only.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';

export type MiniSuite = 'aes-256-gcm' | 'none';

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const hmac = (key: Uint8Array, bytes: Uint8Array): Buffer => createHmac('sha256', key).update(bytes).digest();
const ascii = (text: string): Buffer => Buffer.from(text, 'ascii');
const expand = (key: Uint8Array, info: Uint8Array, length = 32): Buffer =>
  hmac(key, Buffer.concat([info, Buffer.of(1)])).subarray(0, length);

export const uint = (value: number | bigint, bytes: number): Buffer =>
  Buffer.from(
    BigInt(value)
      .toString(16)
      .padStart(bytes * 2, '0'),
    'hex',
  );

export interface MiniSpec {
  readonly protocolVersion: number;
  readonly migration: string;
  readonly attempt: number;
  readonly nonce: Uint8Array;
  readonly suite: MiniSuite;
  readonly sourceKeyHash: Uint8Array;
  readonly destinationKeyHash: Uint8Array;
  readonly channels: number;
  readonly limits: {
    bandwidthBytesPerSecond: number;
    downtimeMs: number;
    maxDowntimeMs: number;
    deadlineMs: number;
    maxThrottlePercent: number;
    postcopy: boolean;
  };
  readonly expiresAt: number;
}

const uuid = (text: string): Buffer => Buffer.from(text.split('-').join(''), 'hex');

/** docs/protocol.md "context". */
export function miniContext(spec: MiniSpec): Buffer {
  const { limits } = spec;
  const fields = [
    ascii('sealift/1 context'),
    uint(spec.protocolVersion, 1),
    uuid(spec.migration),
    uint(spec.attempt, 4),
    spec.nonce,
    spec.sourceKeyHash,
    spec.destinationKeyHash,
    ascii(spec.suite),
    uint(spec.channels, 2),
    Buffer.concat([
      uint(limits.bandwidthBytesPerSecond, 8),
      uint(limits.downtimeMs, 8),
      uint(limits.maxDowntimeMs, 8),
      uint(limits.deadlineMs, 8),
      uint(limits.maxThrottlePercent, 1),
      uint(limits.postcopy ? 1 : 0, 1),
    ]),
    uint(spec.expiresAt, 8),
  ];
  return sha256(Buffer.concat(fields.map((field) => Buffer.concat([uint(field.length, 4), field]))));
}

/** RFC 8410: the DER before the 32 bytes of an X25519 key. */
const privateKey = (raw: Uint8Array) =>
  createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), raw]), format: 'der', type: 'pkcs8' });
const publicKey = (raw: Uint8Array) =>
  createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), raw]), format: 'der', type: 'spki' });

export const publicOf = (raw: Uint8Array): Buffer => createPublicKey(privateKey(raw)).export({ format: 'der', type: 'spki' }).subarray(12);
export const exchange = (own: Uint8Array, peer: Uint8Array): Buffer =>
  diffieHellman({ privateKey: privateKey(own), publicKey: publicKey(peer) });

export interface MiniHello {
  readonly hello: Buffer;
  readonly dh: Buffer;
  readonly m1: Buffer;
  readonly th: Buffer;
  readonly m2: Buffer;
  readonly confirm: Buffer;
  readonly sourceToDestination: Buffer;
  readonly destinationToSource: Buffer;
}

/** docs/protocol.md "key schedule" and "hello", both sides at once. */
export function miniHello(
  spec: MiniSpec,
  key: Uint8Array,
  channel: number,
  sourcePrivate: Uint8Array,
  destinationPrivate: Uint8Array,
): MiniHello {
  const ctx = miniContext(spec);
  const root = hmac(spec.nonce, key);
  const hello = expand(root, Buffer.concat([ascii('hello'), ctx]));
  const dh = expand(root, Buffer.concat([ascii('dh'), ctx]));
  const named = Buffer.concat([
    uint(spec.protocolVersion, 1),
    uuid(spec.migration),
    uint(spec.attempt, 4),
    uint(channel, 2),
    publicOf(sourcePrivate),
  ]);
  const m1 = Buffer.concat([named, hmac(hello, named)]);
  const ed = publicOf(destinationPrivate);
  const th = sha256(Buffer.concat([ctx, m1, ed]));
  const chan = hmac(dh, exchange(sourcePrivate, ed));
  const m2 = Buffer.concat([ed, hmac(expand(chan, Buffer.concat([ascii('confirm'), th])), th)]);
  const sourceToDestination = expand(chan, Buffer.concat([ascii('source to destination'), th]));
  const destinationToSource = expand(chan, Buffer.concat([ascii('destination to source'), th]));
  const confirm = new MiniDirection(sourceToDestination).seal(0x01, channel, Buffer.alloc(0));
  return { hello, dh, m1, th, m2, confirm, sourceToDestination, destinationToSource };
}

/** docs/protocol.md "records" and "epochs": one direction, at either end. */
export class MiniDirection {
  readonly #secret: Buffer;
  readonly #suite: MiniSuite;
  readonly #epochBits: number;
  sequence: number;

  constructor(secret: Uint8Array, { start = 0, suite = 'aes-256-gcm' as MiniSuite, epochBits = 16 } = {}) {
    this.#secret = Buffer.from(secret);
    this.#suite = suite;
    this.#epochBits = epochBits;
    this.sequence = start;
  }

  /** What the epoch's records are sealed with. */
  epoch(number: number): { secret: Buffer; key: Buffer; iv: Buffer } {
    let secret = this.#secret;
    for (let i = 0; i < number; i++) secret = expand(secret, ascii('next'));
    return { secret, key: expand(secret, ascii('key')), iv: expand(secret, ascii('iv'), 12) };
  }

  nonce(sequence: number): Buffer {
    const { iv } = this.epoch(Math.floor(sequence / 2 ** this.#epochBits));
    const counter = uint(sequence, 12);
    return Buffer.from(iv.map((byte, i) => byte ^ (counter[i] ?? 0)));
  }

  /** `header` and `sequence` are what they should be unless a test says otherwise. */
  seal(type: number, channel: number, payload: Uint8Array, changes: { header?: Buffer; sequence?: number } = {}): Buffer {
    const sequence = changes.sequence ?? this.sequence++;
    const header =
      changes.header ?? Buffer.concat([uint(type, 1), uint(0, 1), uint(channel, 2), uint(payload.length, 4), uint(sequence, 8)]);
    const { key } = this.epoch(Math.floor(sequence / 2 ** this.#epochBits));
    const cipher = createCipheriv('aes-256-gcm', key, this.nonce(sequence));
    cipher.setAAD(header);
    const clear = this.#suite === 'none' && type === 0x02;
    const body = clear ? payload : cipher.update(payload);
    cipher.final();
    return Buffer.concat([header, body, cipher.getAuthTag()]);
  }

  /** @throws where it is not the next authentic record. @param record whole */
  open(record: Buffer): { type: number; channel: number; payload: Buffer } {
    const sequence = this.sequence;
    const header = record.subarray(0, 16);
    const body = record.subarray(16, -16);
    if (Number(header.readBigUInt64BE(8)) !== sequence || header[1] !== 0 || header.readUInt32BE(4) !== body.length)
      throw new Error('header');
    const { key } = this.epoch(Math.floor(sequence / 2 ** this.#epochBits));
    const decipher = createDecipheriv('aes-256-gcm', key, this.nonce(sequence), { authTagLength: 16 });
    decipher.setAAD(header);
    decipher.setAuthTag(record.subarray(-16));
    const type = header.readUInt8(0);
    const clear = this.#suite === 'none' && type === 0x02;
    const payload = clear ? Buffer.from(body) : decipher.update(body);
    decipher.final();
    this.sequence++;
    return { type, channel: header.readUInt16BE(2), payload };
  }
}

/** Cuts a stream into whole records. */
export function recordsOf(stream: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = at + 32 + stream.readUInt32BE(at + 4);
    if (end > stream.length) throw new Error('the stream ends within a record');
    records.push(stream.subarray(at, end));
    at = end;
  }
  return records;
}

export const closePayload = (records: number, bytes: number): Buffer => Buffer.concat([uint(records, 8), uint(bytes, 8)]);
