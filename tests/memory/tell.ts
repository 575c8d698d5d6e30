/**
 * Preloaded into the daemons under test, threads included (NODE_OPTIONS=--import): appends every secret that passes through node:crypto to the file
 * that SEALIFT_TEST_SECRETS names, as a line of JSON. They are told inverted, so that telling leaves no copy of them in the process.
 */
import crypto from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** What stands in a line. Bytes are inverted, in hexadecimal. */
export type Line =
  | { readonly pid: number; readonly kind: 'started'; readonly args: readonly string[] }
  /** 32 random bytes that were made to be kept secret: a spec's key, or a private key. */
  | { readonly pid: number; readonly kind: 'random'; readonly inverted: string }
  /** HKDF's first half, or a MAC of 32 bytes: of two secrets only where something is expanded from it. */
  | { readonly pid: number; readonly kind: 'extracted'; readonly from: string; readonly inverted: string }
  /** HKDF's second half: the label that what was hashed begins with, what it was expanded from, and the result. */
  | { readonly pid: number; readonly kind: 'expanded'; readonly label: string; readonly from: string; readonly inverted: string };

const file = process.env['SEALIFT_TEST_SECRETS'];
if (file !== undefined) listen(openSync(file, 'a', 0o600));

type WithoutPid<L> = L extends Line ? Omit<L, 'pid'> : never;

function listen(fd: number): void {
  const { pid } = process;
  const tell = (line: WithoutPid<Line>) => void writeSync(fd, `${JSON.stringify({ pid, ...line })}\n`);
  tell({ kind: 'started', args: process.argv.slice(2) });

  const { randomFillSync, createHmac } = crypto;
  crypto.randomFillSync = <T extends NodeJS.ArrayBufferView>(buffer: T, offset = 0, size = buffer.byteLength - offset): T => {
    randomFillSync(buffer, offset, size);
    if (size === 32) tell({ kind: 'random', inverted: inverted(new Uint8Array(buffer.buffer, buffer.byteOffset + offset, size)) });
    return buffer;
  };
  crypto.createHmac = (algorithm, key, options) => {
    const mac = createHmac(algorithm, key, options);
    const [update, digest] = [mac.update.bind(mac), mac.digest.bind(mac)];
    let label: string | undefined;
    let only: string | undefined;
    mac.update = (bytes: string | NodeJS.ArrayBufferView) => {
      if (!(bytes instanceof Uint8Array)) throw new TypeError('the daemons hash buffers');
      only = label === undefined && bytes.length === 32 ? inverted(bytes) : undefined;
      label ??= labelOf(bytes);
      update(bytes);
      return mac;
    };
    mac.digest = (() => {
      const result = digest();
      if (label && key instanceof Uint8Array) tell({ kind: 'expanded', label, from: inverted(key), inverted: inverted(result) });
      else if (only !== undefined) tell({ kind: 'extracted', from: only, inverted: inverted(result) });
      return result;
    }) as typeof mac.digest;
    return mac;
  };
  syncBuiltinESMExports();
}

const keyWrap = Buffer.from('sealift/1 key wrap\0');

/** @returns '' for what is no label of docs/protocol.md. Those are shorter than any secret, so no copy of one is made as a text */
function labelOf(bytes: Uint8Array): string {
  if (Buffer.compare(bytes.subarray(0, keyWrap.length), keyWrap) === 0) return 'key wrap';
  return bytes.length < 32 && bytes.every((byte) => byte === 0x20 || (byte >= 0x61 && byte <= 0x7a)) ? String(Buffer.from(bytes)) : '';
}

const inverted = (bytes: Uint8Array): string => Buffer.from(bytes.map((byte) => byte ^ 0xff)).toString('hex');
