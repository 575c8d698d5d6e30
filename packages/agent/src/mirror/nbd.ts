/**
 * NBD as far as a disk's mirror needs it: the fixed newstyle handshake from both sides, simple replies, and the commands that change a disk.
 * Source: doc/proto.md of github.com/NetworkBlockDevice/nbd. No I/O: handshakes are generators that ask for bytes and hand out bytes.
 */

/** What a handshake wants next: that many bytes, or these to be sent. */
export type Step = { readonly read: number } | { readonly send: Buffer };
export type Handshake<Result> = Generator<Step, Result, Buffer>;

/** The peer does not speak NBD as it is to be spoken here. */
export class NbdError extends Error {
  override readonly name = 'NbdError';
}

export const command = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 } as const;
/** In a request's flags: what is zeroed stays allocated. */
export const noHole = 2;
export const requestBytes = 28;
export const replyBytes = 16;
/** A write of more is refused: what clients keep to where a server says nothing else. */
export const maxWriteBytes = 32 * 1024 * 1024;
/** In a reply. */
export const errorInvalid = 22;

const magic = Buffer.from('NBDMAGIC', 'latin1');
const optionMagic = Buffer.from('IHAVEOPT', 'latin1');
const replyMagic = 0x0003_e889_0455_65a9n;
const requestMagic = 0x2560_9513;
const simpleMagic = 0x6744_6698;
const fixedNewstyle = 1;
const noZeroes = 2;
const option = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
const reply = { ack: 1, info: 3, unsupported: 0x8000_0001, invalid: 0x8000_0003, unknown: 0x8000_0006 } as const;
const info = { export: 0, blockSize: 3 } as const;
const transmission = { hasFlags: 1, flush: 4, fua: 8, trim: 32, writeZeroes: 64 } as const;
const offered = transmission.hasFlags | transmission.flush | transmission.fua | transmission.trim | transmission.writeZeroes;
const maxOptionBytes = 8192;

/**
 * The server's side, of one export.
 * @returns true where transmission begins, false where the client has changed its mind
 * @throws NbdError
 */
export function* serve(exportName: string, sizeBytes: number): Handshake<boolean> {
  yield { send: Buffer.concat([magic, optionMagic, u16(fixedNewstyle | noZeroes)]) };
  const flags = (yield { read: 4 }).readUInt32BE();
  if ((flags & ~(fixedNewstyle | noZeroes)) !== 0) throw new NbdError(`client flags ${flags}`);
  for (;;) {
    const head = yield { read: 16 };
    if (!head.subarray(0, 8).equals(optionMagic)) throw new NbdError('an option without its magic number');
    const [kind, length] = [head.readUInt32BE(8), head.readUInt32BE(12)];
    if (length > maxOptionBytes) throw new NbdError(`an option of ${length} bytes`);
    const data = length > 0 ? yield { read: length } : Buffer.alloc(0);
    const answer = (type: number, payload: Buffer = Buffer.alloc(0)): Step => ({
      send: Buffer.concat([u64(replyMagic), u32(kind), u32(type), u32(payload.length), payload]),
    });
    if (kind === option.abort) {
      yield answer(reply.ack);
      return false;
    }
    if (kind === option.exportName) {
      if (data.toString('utf8') !== exportName) throw new NbdError('the client wants another export');
      const padding = Buffer.alloc((flags & noZeroes) === 0 ? 124 : 0);
      yield { send: Buffer.concat([u64(BigInt(sizeBytes)), u16(offered), padding]) };
      return true;
    }
    if (kind !== option.go && kind !== option.info) {
      yield answer(reply.unsupported);
      continue;
    }
    const nameLength = data.length >= 4 ? data.readUInt32BE() : data.length;
    if (nameLength > data.length - 6) yield answer(reply.invalid);
    else if (data.toString('utf8', 4, 4 + nameLength) !== exportName) yield answer(reply.unknown);
    else {
      yield answer(reply.info, Buffer.concat([u16(info.export), u64(BigInt(sizeBytes)), u16(offered)]));
      yield answer(reply.info, Buffer.concat([u16(info.blockSize), u32(1), u32(4096), u32(maxWriteBytes)]));
      yield answer(reply.ack);
      if (kind === option.go) return true;
    }
  }
}

/**
 * The client's side: asks for an export that takes writes, zeroes and trims.
 * @throws NbdError where there is none of that size
 */
export function* ask(exportName: string, sizeBytes: number): Handshake<void> {
  const greeting = yield { read: 18 };
  const newstyle = greeting.subarray(0, 8).equals(magic) && greeting.subarray(8, 16).equals(optionMagic);
  const flags = greeting.readUInt16BE(16);
  if (!newstyle || (flags & fixedNewstyle) === 0) throw new NbdError('the server does not speak the fixed newstyle');
  const name = Buffer.from(exportName, 'utf8');
  const data = Buffer.concat([u32(name.length), name, u16(0)]);
  yield { send: Buffer.concat([u32(fixedNewstyle | (flags & noZeroes)), optionMagic, u32(option.go), u32(data.length), data]) };
  let found = false;
  for (;;) {
    const head = yield { read: 20 };
    const [kind, type, length] = [head.readUInt32BE(8), head.readUInt32BE(12), head.readUInt32BE(16)];
    if (head.readBigUInt64BE() !== replyMagic || kind !== option.go || length > maxOptionBytes)
      throw new NbdError('not an answer to what was asked');
    const payload = length > 0 ? yield { read: length } : Buffer.alloc(0);
    if (type === reply.ack && found) return;
    if (type !== reply.info)
      throw new NbdError(`the server refuses export ${exportName}: ${type.toString(16)} ${payload.toString('utf8')}`);
    if (payload.length !== 12 || payload.readUInt16BE() !== info.export) continue;
    const [size, can] = [payload.readBigUInt64BE(2), payload.readUInt16BE(10)];
    if (size !== BigInt(sizeBytes)) throw new NbdError(`the export has ${size} bytes in place of ${sizeBytes}`);
    const needed = transmission.trim | transmission.writeZeroes;
    if ((can & needed) !== needed) throw new NbdError('the export takes no zeroes or trims');
    found = true;
  }
}

export interface Request {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
}

/** @param bytes {@link requestBytes} @throws NbdError */
export function decodeRequest(bytes: Buffer): Request {
  if (bytes.readUInt32BE() !== requestMagic) throw new NbdError('a request without its magic number');
  const offset = bytes.readBigUInt64BE(16);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) throw new NbdError('an offset beyond every disk');
  return {
    flags: bytes.readUInt16BE(4),
    type: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offset: Number(offset),
    length: bytes.readUInt32BE(24),
  };
}

export function encodeRequest({ flags, type, cookie, offset, length }: Request): Buffer {
  const bytes = Buffer.allocUnsafe(requestBytes);
  bytes.writeUInt32BE(requestMagic);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeBigUInt64BE(cookie, 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

/** @param error 0 for none, else a number of the protocol's, which are those of Linux */
export function encodeReply(cookie: bigint, error = 0): Buffer {
  const bytes = Buffer.allocUnsafe(replyBytes);
  bytes.writeUInt32BE(simpleMagic);
  bytes.writeUInt32BE(error, 4);
  bytes.writeBigUInt64BE(cookie, 8);
  return bytes;
}

/** @param bytes {@link replyBytes} @throws NbdError */
export function decodeReply(bytes: Buffer): { readonly cookie: bigint; readonly error: number } {
  if (bytes.readUInt32BE() !== simpleMagic) throw new NbdError('a reply without its magic number');
  return { error: bytes.readUInt32BE(4), cookie: bytes.readBigUInt64BE(8) };
}

const u16 = (value: number): Buffer => {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
};
const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
const u64 = (value: bigint): Buffer => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(value);
  return out;
};
