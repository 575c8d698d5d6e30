/** A confirmed channel: a TCP connection, a local socket, a direction each way. Owns both descriptors from the moment it has them. */
import { controlChannel } from '../constants.ts';
import { Epochs } from '../keys/epochs.ts';
import { type EpochLog, type KeylogPlace, keylogTo } from '../keys/keylog.ts';
import { abandon, keep } from '../native/farewell.ts';
import { libc, POLL } from '../native/libc.ts';
import { enlargeLocal, enlargePeer } from '../native/local-buffers.ts';
import { tcpProgress } from '../native/progress.ts';
import { Inbound } from './inbound.ts';
import type { Poller, Target } from './loop.ts';
import type { PumpCommand, PumpReport } from './messages.ts';
import { Outbound, stalled } from './outbound.ts';
import { Stall } from './stall.ts';
import { Statistics } from './statistics.ts';

type Added = Extract<PumpCommand, { kind: 'add' }>;

export class Channel implements Target {
  readonly session: number;
  readonly index: number;
  readonly channels: number;
  readonly statistics: Statistics;
  readonly outbound: Outbound;
  readonly inbound: Inbound;
  readonly #wire: number;
  readonly #report: (report: PumpReport) => void;
  readonly #answersEmpty: boolean;
  readonly isSource: boolean;
  readonly #stall: Stall;
  #local = -1;
  #told = { firstData: false, closeQueued: false, delivered: false };

  constructor(added: Added, report: (report: PumpReport) => void, onControl: (channel: Channel, type: number, payload: Buffer) => void) {
    const { channel, channels, role, suite, epochBits, wire } = added;
    this.session = added.session;
    this.index = channel;
    this.channels = channels;
    this.#wire = wire;
    keep(wire);
    this.#stall = new Stall(() => tcpProgress(wire));
    this.#report = report;
    this.isSource = role === 'source';
    this.#answersEmpty = role === 'destination' && channel !== controlChannel && !added.eager;
    this.statistics = new Statistics(channels, added.statistics);
    const secrets = new Uint8Array(added.secrets);
    const toDestination = secrets.subarray(0, 32);
    const toSource = secrets.subarray(32);
    const logThere = keylogOf(added, 'source-to-destination');
    const logBack = keylogOf(added, 'destination-to-source');
    // The source's direction began with CONFIRM, which the hello has dealt with.
    const [out, into] =
      role === 'source'
        ? [new Epochs(toDestination, 'seal', 1, epochBits, logThere), new Epochs(toSource, 'open', 0, epochBits, logBack)]
        : [new Epochs(toSource, 'seal', 0, epochBits, logBack), new Epochs(toDestination, 'open', 1, epochBits, logThere)];
    this.outbound = new Outbound(channel, wire, out, suite, this.statistics);
    this.inbound = new Inbound(channel, channels, wire, into, suite, this.statistics, (type, payload) => onControl(this, type, payload));
    this.outbound.mayCloseEarly = added.mayCloseEarly ?? false;
    this.inbound.mayCloseEarly = added.mayCloseEarly ?? false;
    this.inbound.keepsLocalOpen = added.keepsLocalOpen ?? false;
  }

  attach(local: number): void {
    this.#local = local;
    if (this.isSource) enlargePeer(local);
    else enlargeLocal(local);
    this.outbound.attach(local);
    this.inbound.attach(local);
  }

  /** @returns whether anything moved. @throws TransportError */
  step(): boolean {
    const sent = this.outbound.step();
    const received = this.inbound.step();
    if (this.#stall.noticed(performance.now())) throw stalled(this.index);
    const { session, index: channel } = this;
    // The source's stream was empty: no local connection will be made for it, so nothing can come back either.
    if (this.#answersEmpty && this.inbound.delivered && this.inbound.total.records === 0) this.outbound.close();
    if (!this.#told.firstData && this.inbound.waitsForLocal) {
      this.#told.firstData = true;
      this.#report({ kind: 'first-data', session, channel });
    }
    if (!this.#told.closeQueued && this.outbound.closeQueued) {
      this.#told.closeQueued = true;
      this.#report({ kind: 'close-queued', session, channel, total: this.outbound.total });
    }
    if (!this.#told.delivered && this.inbound.delivered) {
      this.#told.delivered = true;
      this.#report({ kind: 'delivered', session, channel, total: this.inbound.total });
    }
    return sent || received;
  }

  get finished(): boolean {
    return this.outbound.finished && this.inbound.delivered;
  }

  watch(poller: Poller): void {
    const { outbound, inbound } = this;
    if (inbound.wantsWire && !inbound.wireReadable) inbound.awaitRecord();
    poller.add(
      this.#wire,
      (inbound.wantsWire && !inbound.wireReadable ? POLL.IN : 0) | (outbound.wantsWire && !outbound.wireWritable ? POLL.OUT : 0),
      this,
    );
    if (this.#local >= 0) {
      poller.add(
        this.#local,
        (outbound.wantsLocal && !outbound.localReadable ? POLL.IN : 0) | (inbound.wantsLocal && !inbound.localWritable ? POLL.OUT : 0),
        this,
      );
    }
  }

  ready(fd: number, events: number): void {
    // An error or hang-up shows itself to whichever call comes next.
    const broken = (events & (POLL.ERR | POLL.HUP)) !== 0;
    if (fd === this.#wire) {
      if (broken || events & POLL.IN) this.inbound.wireReadable = true;
      if (broken || events & POLL.OUT) this.outbound.wireWritable = true;
    } else {
      if (broken || events & POLL.IN) this.outbound.localReadable = true;
      if (broken || events & POLL.OUT) this.inbound.localWritable = true;
    }
  }

  get isControl(): boolean {
    return this.index === controlChannel;
  }

  /** Closes both descriptors and wipes keys and buffers. Once. */
  free(): void {
    const local = this.release();
    if (local >= 0) libc.close(local);
  }

  /** As {@link free}, but leaves the local socket open. @returns its descriptor, the caller's from then on; -1 where there is none */
  release(): number {
    this.outbound.free();
    this.inbound.free();
    abandon(this.#wire, this.finished);
    libc.close(this.#wire);
    return this.#local;
  }
}

const keylogOf = ({ keylog, channel }: Added, direction: KeylogPlace['direction']): EpochLog | undefined =>
  keylog && keylogTo(keylog.fd, { migration: keylog.migration, attempt: keylog.attempt, channel, direction });
