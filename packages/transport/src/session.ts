/**
 * One attempt's channels, as the agent's handover sees them. A session begins with its spec's key and ends in one of two ways: every channel
 * closed authentically in both directions, or it failed, once, and is then told {@link Session.abort} or {@link Session.drop}, after which
 * everything of it is closed and wiped. In between channel 0 stays, unless it was the one that failed, so that ABORTED can be said and heard.
 */
import { Arrivals } from './arrivals.ts';
import { controlChannel, firstDataChannel, helloBytes, type Role, recordType } from './constants.ts';
import type { Demand } from './demand.ts';
import { TransportError } from './errors.ts';
import { controlMessage, type SessionHandlers } from './heard.ts';
import type { Attempt } from './keys/context.ts';
import { Milestone } from './milestone.ts';
import { libc } from './native/libc.ts';
import type { Pool } from './pool.ts';
import { type ChannelTotal, encodeGrant, type Grant } from './record/control.ts';
import { Totals } from './totals.ts';
import type { GateReport, PumpReport } from './worker/messages.ts';
import { Statistics } from './worker/statistics.ts';

/** The same for all sessions of a {@link Transport}; see {@link TransportOptions}. */
export interface SessionOptions {
  readonly epochBits: number;
  readonly keylogFd: number | undefined;
}

type Reports = Exclude<GateReport, { kind: 'listening' | 'not-listening' }> | PumpReport;

export class Session {
  readonly number: number;
  readonly role: Role;
  readonly attempt: Attempt;
  readonly statistics: Statistics;
  readonly #pool: Pool;
  readonly #handlers: SessionHandlers;
  readonly #options: SessionOptions;
  readonly #cpuAtStart: number;
  readonly #confirmed = new Milestone<void>();
  /** By the first channel that a local listener is for. */
  readonly #localListening = new Map<number, Milestone<void>>();
  readonly #localEnded: Totals;
  readonly #delivered: Totals;
  readonly #ended = new Milestone<void>();
  readonly #dropped = new Milestone<void>();
  readonly #onGone: () => void;
  readonly #confirmedChannels = new Set<number>();
  readonly #endedChannels = new Set<number>();
  readonly #demand: Demand | undefined;
  readonly #arrivals: Arrivals;
  /** On demand: data channels that have begun. */
  readonly #begun = new Set<number>();
  /** Local streams that were opened before their channel was confirmed. */
  readonly #early = new Map<number, number>();
  /** On demand: no data channel will begin any more. */
  #finishing = false;
  #missingDrops = 0;
  #failed = false;
  #state: 'open' | 'ended' | 'dropping' | 'gone' = 'open';

  /** Made by {@link Transport}. @param onGone when nothing of it is left in any thread */
  constructor(
    number: number,
    role: Role,
    attempt: Attempt,
    pool: Pool,
    handlers: SessionHandlers,
    options: SessionOptions,
    onGone: () => void,
    demand?: Demand,
  ) {
    this.number = number;
    this.role = role;
    this.attempt = attempt;
    this.statistics = new Statistics(attempt.channels);
    this.#localEnded = new Totals(attempt.channels);
    this.#delivered = new Totals(attempt.channels);
    this.#pool = pool;
    this.#handlers = handlers;
    this.#options = options;
    this.#cpuAtStart = pool.cpuSeconds;
    this.#onGone = onGone;
    this.#demand = demand;
    this.#arrivals = new Arrivals(demand !== undefined, this.#firstDisk, {
      attach: (channel, local) => this.#attach(channel, local),
      failed: (error) => this.fail(error),
    });
  }

  /** Every channel is proven, and the spec's key is gone from this process. On demand: channel 0 is proven. */
  get confirmed(): Promise<void> {
    return this.#confirmed.promise;
  }

  /** Not on demand. Every local stream has ended and its CLOSE is queued: the final totals of channels 1, 2, … towards the peer. */
  get localEnded(): Promise<readonly ChannelTotal[]> {
    return this.#localEnded.promise;
  }

  /** Not on demand. Every data channel's CLOSE has come, and all bytes before it are in the local sockets: what arrived on channels 1, 2, … */
  get delivered(): Promise<readonly ChannelTotal[]> {
    return this.#delivered.promise;
  }

  /** Every channel that was opened, channel 0 too, is closed in both directions. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** On demand: the data channels that were begun so far. */
  get usedChannels(): readonly number[] {
    return [...this.#begun];
  }

  /** CPU seconds of the transport's threads since the session began; where sessions overlap, each counts all of it. */
  get cpuSeconds(): number {
    return this.#pool.cpuSeconds - this.#cpuAtStart;
  }

  /** Everything handed to TCP in both directions, with headers and tags; hellos as well. */
  get bytesOnWire(): number {
    return this.statistics.sum('outWire', 'inWire') + this.#confirmedChannels.size * helloBytes;
  }

  /**
   * The source's side: QEMU is to connect to this path, its main stream first; each connection becomes the next channel.
   *
   * @throws TransportError `local`, such as when the path is taken
   */
  listenLocal(path: string): Promise<void> {
    return this.#listenLocal(path, firstDataChannel, this.#firstDisk - firstDataChannel);
  }

  /** The source's side: the stream of a disk, 0 being the first, is to connect to this path. @throws as {@link listenLocal} */
  listenDisk(disk: number, path: string): Promise<void> {
    return this.#listenLocal(path, this.#firstDisk + disk, 1);
  }

  /** The destination's side: where QEMU listens. A channel is connected to it when its first bytes are there, the main one first. */
  connectLocal(path: string): void {
    this.#arrivals.open(path);
  }

  /** The destination's side: where the stream of a disk, 0 being the first, is taken. It is connected to once its channel is confirmed. */
  connectDisk(disk: number, path: string): void {
    this.#arrivals.openOwn(this.#firstDisk + disk, path);
  }

  /** On demand, the source's side: takes no more local streams; once those open have ended, says so on channel 0, and the session ends. */
  finish(): void {
    this.#pool.gate.post({ kind: 'unlisten-local', session: this.number });
  }

  grant(grant: Grant): void {
    this.#send(recordType.grant, encodeGrant(grant));
  }

  running(): void {
    this.#send(recordType.running, new Uint8Array(0));
  }

  /** CLOSE on channel 0: nothing more will be said. */
  close(): void {
    this.#pump(controlChannel).post({ kind: 'close', session: this.number });
  }

  /** Says ABORTED, if it can still be said; the session stays to be dropped. */
  sayAborted(): void {
    if (this.#state === 'open' && this.#confirmedChannels.has(controlChannel)) this.#send(recordType.aborted, new Uint8Array(0));
  }

  /**
   * Says ABORTED, gives it a moment to leave, and drops everything.
   *
   * @returns when nothing of the session is left
   */
  async abort(): Promise<void> {
    if (this.#state === 'open' && this.#confirmedChannels.has(controlChannel)) {
      this.sayAborted();
      this.close();
      await Promise.race([this.#dropped.promise, new Promise((resolve) => setTimeout(resolve, abortGraceMs))]);
    }
    await this.drop();
  }

  /** Closes and wipes all that is left, without a word to the peer. @returns when that has happened; idempotent */
  drop(): Promise<void> {
    this.#drop(new TransportError('local', 'the session was dropped'));
    return this.#dropped.promise;
  }

  /** A thread's report; called by {@link Transport}. */
  report(report: Reports): void {
    switch (report.kind) {
      case 'confirmed':
        this.#confirm(report);
        return;
      case 'local-listening':
        this.#localListening.get(report.first)?.reach();
        return;
      case 'local':
        this.#begin(report.channel, this.#demand);
        this.#attach(report.channel, report.local);
        return;
      case 'local-unlistened':
        this.#noMore();
        return;
      case 'first-data':
        if (this.#state === 'open') this.#arrivals.add(report.channel);
        return;
      case 'control':
        this.#control(report.type, report.payload, report.at);
        return;
      case 'close-queued':
        this.#localEnded.add(report.channel, report.total);
        return;
      case 'delivered':
        this.#delivered.add(report.channel, report.total);
        this.#heardAll(report.channel, report.total);
        return;
      case 'ended':
        this.#end(report.channel);
        return;
      case 'failed':
        this.fail(new TransportError(report.code, report.message));
        return;
      case 'dropped':
      case 'forgotten':
        if (this.#state === 'dropping' && --this.#missingDrops === 0) this.#gone();
        return;
    }
  }

  /** A thread has ended by itself; called by {@link Transport}. */
  threadDied(error: TransportError): void {
    this.fail(error);
    // It will not answer any more. Had it done so already, the session is gone a moment before the other threads' answers.
    if (this.#state === 'dropping' && --this.#missingDrops === 0) this.#gone();
  }

  /** Fails the session, once: what comes after is a consequence of the first failure. */
  fail(error: TransportError): void {
    if (this.#state !== 'open' || this.#failed) return;
    this.#failed = true;
    this.#handlers.failed(error);
    this.#rejectAll(error);
  }

  get #firstDisk(): number {
    return this.attempt.channels - (this.attempt.disks ?? 0);
  }

  #listenLocal(path: string, first: number, count: number): Promise<void> {
    const listening = new Milestone<void>();
    this.#localListening.set(first, listening);
    this.#pool.gate.post({ kind: 'listen-local', session: this.number, path, first, count });
    return listening.promise;
  }

  #pump(channel: number) {
    const pump = this.#pool.pumps[(this.number + channel) % this.#pool.pumps.length];
    if (!pump) throw new TransportError('local', 'the transport has no threads');
    return pump;
  }

  #send(type: number, payload: Uint8Array): void {
    // A thread would drop it without a word.
    if (!this.#confirmedChannels.has(controlChannel)) throw new TransportError('local', 'channel 0 is not confirmed');
    this.#pump(controlChannel).post({ kind: 'send', session: this.number, type, payload });
  }

  #confirm(report: Extract<Reports, { kind: 'confirmed' }>): void {
    const { channel, wire, secrets } = report;
    if (this.#state !== 'open') {
      new Uint8Array(secrets).fill(0);
      libc.close(wire);
      return;
    }
    const { channels, suite, migration, attempt } = this.attempt;
    const disk = channel >= this.#firstDisk;
    this.#pump(channel).post({
      kind: 'add',
      session: this.number,
      channel,
      channels,
      role: this.role,
      suite,
      epochBits: this.#options.epochBits,
      ...(this.#options.keylogFd !== undefined && { keylog: { fd: this.#options.keylogFd, migration, attempt } }),
      wire,
      secrets,
      statistics: this.statistics.buffer,
      eager: disk || (this.#demand?.eager ?? false),
      keepsLocalOpen: this.role === 'source' && this.attempt.limits.postcopy,
      mayCloseEarly: this.role === 'destination' && !disk && (this.#demand?.mayCloseEarly ?? true),
    });
    this.#confirmedChannels.add(channel);
    if (this.#demand) this.#confirmOnDemand(channel, this.#demand);
    else if (disk && this.role === 'destination') this.#arrivals.add(channel);
    const early = this.#early.get(channel);
    if (early !== undefined) {
      this.#early.delete(channel);
      this.#attach(channel, early);
    }
    if (this.#confirmedChannels.size < channels) return; // else no hello is left to do, so nobody needs the keys of hellos
    this.#pool.gate.post({ kind: 'forget-keys', session: this.number });
    this.#confirmed.reach();
  }

  #confirmOnDemand(channel: number, demand: Demand): void {
    if (channel === controlChannel) this.#confirmed.reach();
    else if (this.role === 'destination') {
      this.#begin(channel, undefined);
      if (demand.eager) this.#arrivals.add(channel);
    }
  }

  /** @param opening who is to open it, where it has to be opened */
  #begin(channel: number, opening: Demand | undefined): void {
    if (this.#state !== 'open' || !this.#demand) return;
    this.#begun.add(channel);
    opening?.dial(channel);
    this.#handlers.channels?.(this.#open());
  }

  #heardAll(channel: number, total: ChannelTotal): void {
    if (!this.#demand || this.role === 'source') return;
    // The source says CLOSE there only when it has this side's CLOSE of every other channel that it opened: all are known here.
    if (channel === controlChannel) this.#noMore();
    else if (total.records === 0 && !this.#demand.eager) this.#arrivals.skip(channel);
  }

  #open(): number {
    return [...this.#begun].filter((channel) => !this.#endedChannels.has(channel)).length;
  }

  #noMore(): void {
    if (this.#finishing || this.#state !== 'open') return;
    this.#finishing = true;
    this.#closeWhenDone();
  }

  #closeWhenDone(): void {
    if (!this.#finishing || this.#open() > 0) return;
    // Not before: a channel that was begun last may be in its hello still.
    this.#pool.gate.post({ kind: 'forget-keys', session: this.number });
    this.close();
  }

  #end(channel: number): void {
    if (this.#state !== 'open') return;
    this.#endedChannels.add(channel);
    if (this.#demand && channel !== controlChannel) {
      this.#handlers.channels?.(this.#open());
      this.#closeWhenDone();
    }
    const missing = this.#demand ? this.#open() : this.attempt.channels - this.#endedChannels.size;
    if (missing > 0 || !this.#endedChannels.has(controlChannel)) return;
    this.#state = 'ended';
    this.#ended.reach();
    this.#drop(new TransportError('local', 'the session has ended'));
  }

  #attach(channel: number, local: number): void {
    if (this.#state !== 'open') libc.close(local);
    else if (!this.#confirmedChannels.has(channel)) this.#early.set(channel, local);
    else this.#pump(channel).post({ kind: 'attach', session: this.number, channel, role: this.role, local });
  }

  #control(type: number, payload: Uint8Array, at: bigint): void {
    if (this.#state !== 'open') return;
    const message = controlMessage(type, payload, at, this.role, this.attempt);
    if (message instanceof TransportError) this.fail(message);
    else if (message) this.#handlers.control(message);
  }

  #drop(reason: TransportError): void {
    if (this.#state === 'dropping' || this.#state === 'gone') return;
    this.#state = 'dropping';
    this.#rejectAll(reason);
    this.#arrivals.stop();
    for (const local of this.#early.values()) libc.close(local);
    this.#early.clear();
    if (this.#pool.gate.post({ kind: 'forget', session: this.number })) this.#missingDrops++;
    for (const pump of this.#pool.pumps) if (pump.post({ kind: 'drop', session: this.number })) this.#missingDrops++;
    if (this.#missingDrops === 0) this.#gone();
  }

  #rejectAll(error: TransportError): void {
    for (const milestone of [this.#confirmed, ...this.#localListening.values(), this.#localEnded, this.#delivered, this.#ended])
      milestone.fail(error);
  }

  #gone(): void {
    this.#state = 'gone';
    this.#dropped.reach();
    this.#onGone();
  }
}
const abortGraceMs = 300; // for ABORTED to leave before the connection is closed under it
