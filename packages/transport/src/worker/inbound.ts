/**
 * The other direction of a channel, from the wire to the local socket:
 *
 *     TCP ──readv──► header, record ──open, in place──► record ──write──► local socket
 *
 * A record is received whole, is opened where it was received, and reaches the local socket only once its tag is right; the next is received when
 * it has been written out. Lengths are checked on the header, before a byte of the payload is read.
 */
import { headerBytes, maxDirectionBytes, recordType, type Suite, tagBytes } from '../constants.ts';
import { TransportError } from '../errors.ts';
import type { Epochs } from '../keys/epochs.ts';
import { E, errno, libc, MSG_NOSIGNAL, SHUT_WR } from '../native/libc.ts';
import { allocate, freeMemory, type Memory, nameOf } from '../native/memory.ts';
import { type ChannelTotal, decodeClose, lengthIsAllowed } from '../record/control.ts';
import { type Header, readHeader } from '../record/header.ts';
import { giveBack, lend } from './buffers.ts';
import { wireFailure } from './outbound.ts';
import type { Statistics } from './statistics.ts';

const SOL_SOCKET = 1;
const SO_RCVLOWAT = 18;
/** In `small`. */
const lowWaterAt = 96;

export class Inbound {
  readonly #channel: number;
  readonly #channels: number;
  readonly #wire: number;
  readonly #epochs: Epochs;
  readonly #clear: boolean;
  readonly #statistics: Statistics;
  readonly #onControl: (type: number, payload: Buffer) => void;
  readonly #record: Memory = lend();
  /** Two headers: this record's and, when it came along with this one's end, the next one's. Then an iovec for both, and room for an option. */
  readonly #small: Memory = allocate(128);
  readonly #vector: Uint32Array = new Uint32Array(this.#small.bytes.buffer, 64, 8);
  readonly #words: Uint32Array = new Uint32Array(this.#small.bytes.buffer, 0, 32);
  #lowWater = 1;
  readonly #header: Header = { type: 0, zero: 0, channel: 0, length: 0, sequence: 0 };
  #local = -1;
  #headerFilled = 0;
  #bodyFilled = 0;
  #bodyNeeded = -1;
  #nextFilled = 0;
  #pendingAt = 0;
  #pendingEnd = 0;
  #records = 0;
  #bytes = 0;
  #closed = false;
  #ended = false;
  #shutDown = false;
  #unread = false;
  wireReadable = true;
  localWritable = true;
  /** Whether a local program may close before it has read everything: what comes then is opened and counted, and thrown away. */
  mayCloseEarly = false;
  /** Whether the local socket is left open for writing when the peer's stream has ended. */
  keepsLocalOpen = false;

  constructor(
    channel: number,
    channels: number,
    wire: number,
    epochs: Epochs,
    suite: Suite,
    statistics: Statistics,
    onControl: (type: number, payload: Buffer) => void,
  ) {
    this.#channel = channel;
    this.#channels = channels;
    this.#wire = wire;
    this.#epochs = epochs;
    this.#clear = suite === 'none';
    this.#statistics = statistics;
    this.#onControl = onControl;
  }

  attach(local: number): void {
    this.#local = local;
  }

  get total(): ChannelTotal {
    return { records: this.#records, bytes: this.#bytes };
  }

  /** The peer's CLOSE was right, and every byte before it is in the local socket, or unread by who may close early. */
  get delivered(): boolean {
    return this.#closed && this.#pendingAt === this.#pendingEnd;
  }

  /** Bytes wait for a local socket that is not attached yet. */
  get waitsForLocal(): boolean {
    return this.#local < 0 && this.wantsLocal;
  }

  get wantsLocal(): boolean {
    return this.#pendingAt < this.#pendingEnd;
  }

  get wantsWire(): boolean {
    if (this.#ended) return false;
    // A complete record, or one that is being written from where it was received.
    return !(this.#bodyComplete || this.wantsLocal);
  }

  /**
   * Receives, opens and writes once, as far as that goes without waiting.
   *
   * @returns whether anything moved
   * @throws TransportError
   */
  step(): boolean {
    let moved = this.#write();
    if (this.wantsWire && this.wireReadable) moved = this.#receive() || moved;
    if (this.#bodyComplete && !this.wantsLocal) {
      this.#open();
      this.#write();
      moved = true;
    }
    if (this.delivered && !this.#shutDown && !this.keepsLocalOpen && this.#local >= 0) {
      this.#shutDown = true;
      libc.shutdown(this.#local, SHUT_WR);
    }
    return moved;
  }

  /**
   * To be called before waiting for the wire: a record is of no use before all of it is there, so nobody is woken for a part of it. What TCP has
   * no room for, an error and the stream's end wake all the same, tcp(7) and linux/tcp.c's tcp_stream_is_readable.
   */
  awaitRecord(): void {
    const wanted = this.#bodyNeeded < 0 ? 1 : this.#bodyNeeded - this.#bodyFilled;
    if (wanted === this.#lowWater) return;
    this.#lowWater = wanted;
    this.#words[lowWaterAt / 4] = wanted;
    libc.setsockopt(this.#wire, SOL_SOCKET, SO_RCVLOWAT, this.#small.address + lowWaterAt, 4);
  }

  free(): void {
    this.#epochs.free();
    giveBack(this.#record);
    freeMemory(this.#small);
  }

  get #bodyComplete(): boolean {
    return this.#bodyNeeded >= 0 && this.#bodyFilled === this.#bodyNeeded;
  }

  #receive(): boolean {
    const count = this.#bodyNeeded < 0 ? this.#readHeader() : this.#readBody();
    if (count > 0) {
      this.#statistics.add(this.#channel, 'inWire', count);
      if (this.#closed) throw new TransportError('record', `channel ${this.#channel}: bytes after CLOSE`);
      if (this.#bodyNeeded < 0) this.#headerFilled += count;
      else {
        const body = Math.min(count, this.#bodyNeeded - this.#bodyFilled);
        this.#bodyFilled += body;
        this.#nextFilled = count - body;
      }
      if (this.#bodyNeeded < 0 && this.#headerFilled === headerBytes) this.#checkHeader();
      return true;
    }
    if (count === 0) {
      this.#ended = true;
      if (!this.#closed) throw new TransportError('truncated', `channel ${this.#channel}: the stream ended without CLOSE`);
      return true;
    }
    const code = errno();
    if (code === E.AGAIN) this.wireReadable = false;
    // After both CLOSEs a reset loses nothing.
    else if (this.#closed && code === E.CONNRESET) this.#ended = true;
    else if (code !== E.INTR) throw wireFailure(this.#channel, code);
    return false;
  }

  #readHeader(): number {
    return libc.recv(this.#wire, this.#small.address + this.#headerFilled, headerBytes - this.#headerFilled, 0);
  }

  #readBody(): number {
    setVector(this.#vector, 0, this.#record.address + headerBytes + this.#bodyFilled, this.#bodyNeeded - this.#bodyFilled);
    setVector(this.#vector, 4, this.#small.address + headerBytes, headerBytes);
    return libc.readv(this.#wire, this.#small.address + 64, 2);
  }

  #checkHeader(): void {
    const header = readHeader(this.#small.bytes, this.#header);
    if (header.zero !== 0 || header.channel !== this.#channel) throw this.#refused('its header is of another channel');
    if (header.sequence !== this.#epochs.sequence) throw this.#refused(`its sequence number is ${header.sequence}`);
    if (!lengthIsAllowed(header.type, header.length, this.#channel, this.#channels)) {
      throw this.#refused(`type ${header.type} with ${header.length} bytes is not allowed`);
    }
    this.#bodyFilled = 0;
    this.#bodyNeeded = header.length + tagBytes;
  }

  #open(): void {
    const { type, length } = this.#header;
    this.#epochs.next();
    const sealed = this.#record.address + headerBytes;
    const clearData = this.#clear && type === recordType.data;
    const opened = clearData
      ? this.#epochs.aead.open(this.#small.address, headerBytes, 0, 0, 0, sealed + length)
      : this.#epochs.aead.open(this.#small.address, headerBytes, sealed, sealed, length, sealed + length);
    if (!opened) throw this.#refused('it is not authentic');
    if (type === recordType.data) {
      if (this.#bytes + length > maxDirectionBytes) throw new TransportError('limit', `channel ${this.#channel}: byte counts are used up`);
      this.#records++;
      this.#bytes += length;
      this.#statistics.add(this.#channel, 'inBytes', length);
      this.#statistics.add(this.#channel, 'inRecords', 1);
      this.#pendingAt = headerBytes;
      this.#pendingEnd = this.#unread ? this.#pendingAt : this.#pendingAt + length;
    } else {
      const payload = Buffer.from(this.#record.bytes.subarray(headerBytes, headerBytes + length));
      if (type === recordType.close) this.#close(payload);
      else this.#onControl(type, payload);
    }
    // The next header may have come with this record's end.
    this.#bodyNeeded = -1;
    this.#headerFilled = this.#nextFilled;
    this.#nextFilled = 0;
    if (this.#headerFilled > 0) {
      if (this.#closed) throw new TransportError('record', `channel ${this.#channel}: bytes after CLOSE`);
      this.#small.bytes.copyWithin(0, headerBytes, headerBytes + this.#headerFilled);
      if (this.#headerFilled === headerBytes) this.#checkHeader();
    }
  }

  #refused(why: string): TransportError {
    return new TransportError('record', `channel ${this.#channel}: record ${this.#header.sequence} refused: ${why}`);
  }

  #close(payload: Buffer): void {
    const said = decodeClose(payload);
    if (said.bytes !== this.#bytes || said.records !== this.#records) {
      throw new TransportError('totals', `channel ${this.#channel}: CLOSE says ${said.bytes} bytes, ${this.#bytes} arrived`);
    }
    this.#closed = true;
  }

  #write(): boolean {
    if (!this.wantsLocal || this.#local < 0 || !this.localWritable) return false;
    const count = libc.send(this.#local, this.#record.address + this.#pendingAt, this.#pendingEnd - this.#pendingAt, MSG_NOSIGNAL);
    if (count > 0) {
      this.#pendingAt += count;
      return true;
    }
    const code = errno();
    if (code === E.AGAIN) this.localWritable = false;
    else if (this.mayCloseEarly && (code === E.PIPE || code === E.CONNRESET)) {
      this.#unread = true;
      this.#pendingAt = this.#pendingEnd;
      return true;
    } else if (code !== E.INTR)
      throw new TransportError('local', `writing the local socket of channel ${this.#channel} failed: ${nameOf(code)}`);
    return false;
  }
}

/** A struct iovec: address and length, each 64 bits, little-endian as on every machine that sealift runs on. */
function setVector(vector: Uint32Array, at: number, address: number, length: number): void {
  vector[at] = address >>> 0;
  vector[at + 1] = Math.floor(address / 2 ** 32);
  vector[at + 2] = length;
  vector[at + 3] = 0;
}
