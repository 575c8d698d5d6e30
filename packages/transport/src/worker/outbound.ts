/**
 * One direction of a channel, from the local socket to the wire:
 *
 *     local socket ──read──► record ──seal, in place──► record ──send──► TCP
 *
 * One buffer, which stays in the CPU's cache (docs/adr/0013). It is gathered into only when nothing of it is left to be sent, and sent only
 * once it is sealed; send(2) copies, so the kernel never has memory that holds plaintext later. While a record drains, the next bytes gather
 * in the local socket: a slow wire makes large records by itself.
 */
import os from 'node:os';
import { headerBytes, maxDataBytes, maxDirectionBytes, recordType, type Suite, tagBytes } from '../constants.ts';
import { TransportError } from '../errors.ts';
import type { Epochs } from '../keys/epochs.ts';
import { E, errno, libc, MSG_NOSIGNAL } from '../native/libc.ts';
import { type Memory, nameOf } from '../native/memory.ts';
import { type ChannelTotal, encodeClose } from '../record/control.ts';
import { writeHeader } from '../record/header.ts';
import { giveBack, lend } from './buffers.ts';
import type { Statistics } from './statistics.ts';

export class Outbound {
  readonly #channel: number;
  readonly #wire: number;
  readonly #epochs: Epochs;
  readonly #clear: boolean;
  readonly #statistics: Statistics;
  readonly #record: Memory = lend();
  readonly #control: { type: number; payload: Uint8Array }[] = [];
  #local = -1;
  #gathered = 0;
  #sent = 0;
  #end = 0;
  #localEnded = false;
  #closeSealed = false;
  #closeWanted = false;
  #records = 0;
  #bytes = 0;
  /** Whether the sockets may take or give more, as far as is known. */
  wireWritable = true;
  localReadable = true;
  /** Whether a local program that has left bytes unread has just ended its stream. */
  mayCloseEarly = false;

  constructor(channel: number, wire: number, epochs: Epochs, suite: Suite, statistics: Statistics) {
    this.#channel = channel;
    this.#wire = wire;
    this.#epochs = epochs;
    this.#clear = suite === 'none';
    this.#statistics = statistics;
  }

  attach(local: number): void {
    this.#local = local;
  }

  /** Queues a control record; channel 0 only. After {@link close} there is nothing more to say, and it is not said. */
  control(type: number, payload: Uint8Array): void {
    if (!this.#closeWanted) this.#control.push({ type, payload });
  }

  /** Ends this direction as if its local stream had ended, where there is none. */
  close(): void {
    this.#closeWanted = true;
  }

  get total(): ChannelTotal {
    return { records: this.#records, bytes: this.#bytes };
  }

  /** CLOSE has its place in the stream: {@link total} is final. */
  get closeQueued(): boolean {
    return this.#closeSealed;
  }

  get finished(): boolean {
    return this.#closeSealed && this.#sent === this.#end;
  }

  get wantsWire(): boolean {
    return this.#sent < this.#end;
  }

  get wantsLocal(): boolean {
    return this.#local >= 0 && !this.#localEnded && this.#gathered < maxDataBytes && !this.wantsWire;
  }

  /**
   * Reads, seals and sends once, as far as that goes without waiting.
   *
   * @returns whether anything moved
   * @throws TransportError
   */
  step(): boolean {
    let moved = this.#send();
    if (this.wantsLocal && this.localReadable) moved = this.#gather() || moved;
    if (!this.wantsWire && this.#sealNext()) {
      this.#send();
      moved = true;
    }
    return moved;
  }

  free(): void {
    this.#epochs.free();
    giveBack(this.#record);
  }

  #send(): boolean {
    if (!this.wantsWire || !this.wireWritable) return false;
    const count = libc.send(this.#wire, this.#record.address + this.#sent, this.#end - this.#sent, MSG_NOSIGNAL);
    if (count > 0) {
      this.#sent += count;
      this.#statistics.add(this.#channel, 'outWire', count);
      return true;
    }
    const code = errno();
    if (code === E.AGAIN) this.wireWritable = false;
    else if (code !== E.INTR) throw wireFailure(this.#channel, code);
    return false;
  }

  #gather(): boolean {
    const count = libc.read(this.#local, this.#record.address + headerBytes + this.#gathered, maxDataBytes - this.#gathered);
    if (count > 0) {
      this.#gathered += count;
      return true;
    }
    if (count === 0) {
      this.#localEnded = true;
      return true;
    }
    const code = errno();
    if (code === E.AGAIN) this.localReadable = false;
    else if (code === E.CONNRESET && this.mayCloseEarly) this.#localEnded = true;
    else if (code !== E.INTR)
      throw new TransportError('local', `reading the local socket of channel ${this.#channel} failed: ${nameOf(code)}`);
    return false;
  }

  #sealNext(): boolean {
    // Never over what is gathered; CLOSE comes after the last of it.
    const control = this.#gathered === 0 ? this.#control.shift() : undefined;
    if (control) {
      this.#sealControl(control.type, control.payload);
      return true;
    }
    // A record is closed when there is no more to add to it at once.
    if (this.#gathered > 0 && (!this.localReadable || this.#localEnded || this.#gathered === maxDataBytes)) {
      this.#sealData(this.#gathered);
      return true;
    }
    if ((this.#localEnded || this.#closeWanted) && this.#gathered === 0 && !this.#closeSealed) {
      this.#sealControl(recordType.close, encodeClose(this.total));
      this.#closeSealed = true;
      return true;
    }
    return false;
  }

  #sealData(length: number): void {
    if (this.#bytes + length > maxDirectionBytes) throw new TransportError('limit', `channel ${this.#channel}: byte counts are used up`);
    const { address, bytes } = this.#record;
    writeHeader(bytes, recordType.data, this.#channel, length, this.#epochs.next());
    const data = address + headerBytes;
    if (this.#clear) this.#epochs.aead.seal(address, headerBytes, 0, 0, 0, data + length);
    else this.#epochs.aead.seal(address, headerBytes, data, data, length, data + length);
    this.#gathered = 0;
    this.#records++;
    this.#bytes += length;
    this.#statistics.add(this.#channel, 'outBytes', length);
    this.#statistics.add(this.#channel, 'outRecords', 1);
    this.#sent = 0;
    this.#end = headerBytes + length + tagBytes;
  }

  /** Control records are always sealed, in suite `none` too. */
  #sealControl(type: number, payload: Uint8Array): void {
    const { address, bytes } = this.#record;
    const staged = controlStage();
    staged.bytes.set(payload);
    writeHeader(bytes, type, this.#channel, payload.length, this.#epochs.next());
    const tag = address + headerBytes + payload.length;
    this.#epochs.aead.seal(address, headerBytes, staged.address, address + headerBytes, payload.length, tag);
    this.#sent = 0;
    this.#end = headerBytes + payload.length + tagBytes;
  }
}

let stage: Memory | undefined;
/** One buffer a thread: a control record is sealed in one go. */
const controlStage = (): Memory => {
  stage ??= lend();
  return stage;
};

export const stalled = (channel: number, how = ''): TransportError =>
  new TransportError('stalled', `channel ${channel}: the peer's host acknowledged nothing for too long${how}`);

/** What a failing call on a TCP connection means. */
export const wireFailure = (channel: number, code: number): TransportError =>
  gaveUp.has(code)
    ? stalled(channel, `: ${nameOf(code)}`)
    : new TransportError('truncated', `channel ${channel}: the connection broke: ${nameOf(code)}`);

const { errno: numbers } = os.constants;

/**
 * What TCP ends an established connection with when it has repeated itself for too long: ETIMEDOUT, or in its place what it was told meanwhile
 * of the way there (ICMP, ARP, a missing route), which by itself never ends one: RFC 1122, 4.2.3.9.
 */
const gaveUp: ReadonlySet<number> = new Set([
  numbers.ETIMEDOUT,
  numbers.EHOSTUNREACH,
  numbers.ENETUNREACH,
  numbers.ENETDOWN,
  numbers.ECONNREFUSED,
  numbers.ENOPROTOOPT,
  numbers.EPROTO,
]);
