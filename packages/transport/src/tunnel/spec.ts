/**
 * The spec of a tunnel: what both of its ends have to be told, with the key. It is the one document that may hold a key, so it is only ever
 * bytes in a buffer that is overwritten: a string would stay in memory for as long as the collector likes.
 */
import { randomBytes, randomFillSync, randomUUID } from 'node:crypto';
import { keyBytes, maxChannels, nonceBytes, protocolVersion, type Suite, suites } from '../constants.ts';
import type { Attempt } from '../keys/context.ts';
import { sha256, wipe } from '../keys/hkdf.ts';
import { TunnelError } from './error.ts';

/** Local connections that one tunnel can carry: all channels but channel 0. */
export const maxConnections = maxChannels - 1;

export interface TunnelSpec {
  readonly attempt: Attempt;
  /** 32 bytes; whoever uses it wipes it. */
  readonly key: Uint8Array;
}

/**
 * A new spec, with a key, a nonce and a migration id that nobody had before.
 *
 * @param connections 1 to {@link maxConnections}
 * @param expiresAt milliseconds since the epoch
 * @returns JSON; the caller wipes it
 */
export function makeSpec(suite: Suite, connections: number, expiresAt: number): Buffer {
  const key = randomFillSync(Buffer.alloc(keyBytes));
  const document = Buffer.from(
    `${JSON.stringify(
      {
        sealift: label,
        version: protocolVersion,
        migration: randomUUID(),
        nonce: randomBytes(nonceBytes).toString('hex'),
        suite,
        channels: connections + 1,
        expiresAt: new Date(expiresAt).toISOString(),
        key: blank,
      },
      undefined,
      2,
    )}\n`,
  );
  const at = document.indexOf(blank);
  key.forEach((byte, i) => {
    document[at + 2 * i] = digits.charCodeAt(byte >> 4);
    document[at + 2 * i + 1] = digits.charCodeAt(byte & 15);
  });
  wipe(key);
  return document;
}

/**
 * @param document JSON; wiped, whatever comes of it
 * @throws TunnelError `usage`, naming the field that is not right
 */
export function parseSpec(document: Uint8Array): TunnelSpec {
  const key = Buffer.alloc(keyBytes);
  try {
    takeKey(Buffer.from(document.buffer, document.byteOffset, document.length), key);
    return { attempt: attemptOf(parse(document)), key };
  } catch (error) {
    wipe(key);
    throw error;
  } finally {
    wipe(document);
  }
}

const label = 'tunnel spec';
const blank = '0'.repeat(2 * keyBytes);
const digits = '0123456789abcdef';

/** Moves the key out of the document, digit by digit, and leaves zeros in its place. */
function takeKey(document: Buffer, key: Buffer): void {
  const name = '"key"';
  const found = document.indexOf(name);
  if (found < 0 || document.indexOf(name, found + 1) >= 0) throw wrong('key');
  let at = found + name.length;
  const skip = (characters: string) => {
    while (at < document.length && characters.includes(String.fromCharCode(document[at] ?? 0))) at++;
  };
  const expect = (character: string) => {
    skip(' \t\r\n');
    if (document[at++] !== character.charCodeAt(0)) throw wrong('key');
  };
  expect(':');
  expect('"');
  for (let i = 0; i < 2 * keyBytes; i++) {
    const digit = digits.indexOf(String.fromCharCode(document[at] ?? 0));
    if (digit < 0) throw wrong('key');
    key[i >> 1] = ((key[i >> 1] ?? 0) << 4) | digit;
    document[at++] = 0x30;
  }
  if (document[at] !== 0x22) throw wrong('key');
}

function parse(document: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(document).toString());
  } catch {
    // The parser's own words would quote the document.
  }
  if (typeof value !== 'object' || value === null)
    throw new TunnelError('usage', 'the spec is not JSON as `sealift tunnel spec` writes it');
  return { ...value };
}

const fields = ['sealift', 'version', 'migration', 'nonce', 'suite', 'channels', 'expiresAt', 'key'];

function attemptOf(value: Record<string, unknown>): Attempt {
  for (const field of Object.keys(value)) if (!fields.includes(field)) throw wrong(field);
  const { sealift, version, migration, nonce, suite, channels, expiresAt } = value;
  if (sealift !== label) throw wrong('sealift');
  if (version !== protocolVersion) throw wrong('version');
  if (typeof migration !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(migration)) throw wrong('migration');
  if (typeof nonce !== 'string' || !/^[0-9a-f]{16}$/.test(nonce)) throw wrong('nonce');
  const known = suites.find((each) => each === suite);
  if (!known) throw wrong('suite');
  if (typeof channels !== 'number' || !Number.isInteger(channels) || channels < 2 || channels > maxChannels) throw wrong('channels');
  const expiry = typeof expiresAt === 'string' ? Date.parse(expiresAt) : Number.NaN;
  if (!(expiry >= 0)) throw wrong('expiresAt');
  return {
    protocolVersion: version,
    migration,
    attempt: 1,
    nonce: Buffer.from(nonce, 'hex'),
    suite: known,
    // A tunnel knows no hosts: both ends have the key, and nobody else.
    sourceKeyHash: sha256(Buffer.from('sealift/1 tunnel source')),
    destinationKeyHash: sha256(Buffer.from('sealift/1 tunnel destination')),
    channels,
    limits: { bandwidthBytesPerSecond: 0, downtimeMs: 0, maxDowntimeMs: 0, deadlineMs: 0, maxThrottlePercent: 0, postcopy: false },
    expiresAt: expiry,
  };
}

const wrong = (field: string): TunnelError =>
  new TunnelError('usage', `${field} in the spec is not as \`sealift tunnel spec\` of this version writes it`);
