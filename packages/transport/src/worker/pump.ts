/**
 * A pump drives confirmed channels, any number of them, of any sessions. A failure on one is reported and ends all channels of its session
 * here, but for channel 0 where that is not the one that failed: ABORTED is still to be said or heard. The rest ends when the agent has the
 * session dropped.
 */
import { controlChannel, recordType } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { libc } from '../native/libc.ts';
import { tunables } from '../tunables.ts';
import { Channel } from './channel.ts';
import { Drain } from './drain.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Poller, Service } from './loop.ts';
import type { PumpCommand, PumpReport } from './messages.ts';

export class Pump implements Service<PumpCommand> {
  readonly #report: (report: PumpReport) => void;
  readonly #channels: Channel[] = [];
  #drains: Drain[] = [];
  readonly #heartbeats = new Map<Channel, Heartbeat>();

  constructor(report: (report: PumpReport) => void) {
    this.#report = report;
  }

  message(command: PumpCommand): void {
    switch (command.kind) {
      case 'add':
        this.#add(command);
        return;
      case 'attach': {
        const channel = this.#find(command.session, command.channel);
        if (channel) channel.attach(command.local);
        // The session failed while the descriptor was on its way.
        else this.#leave(command.session, command.local, command.role === 'source');
        return;
      }
      case 'send':
        this.#find(command.session, controlChannel)?.outbound.control(command.type, command.payload);
        return;
      case 'close':
        this.#find(command.session, controlChannel)?.outbound.close();
        return;
      case 'drop':
        this.#drop(command.session);
        this.#report({ kind: 'dropped', session: command.session });
        return;
    }
  }

  step(): boolean {
    let busy = false;
    // A copy is not needed: ending a channel replaces it within its own turn, and going backwards meets every other one once.
    for (let i = this.#channels.length - 1; i >= 0; i--) {
      const channel = this.#channels[i];
      if (!channel) continue;
      try {
        for (let turn = 0; turn < tunables.recordsPerTurn && channel.step(); turn++) busy = true;
        if (channel.finished) this.#end(channel);
      } catch (error) {
        this.#fail(channel.session, channel.isControl, error);
      }
    }
    for (const drain of this.#drains) busy = drain.step() || busy;
    return busy;
  }

  watch(poller: Poller): void {
    for (const channel of this.#channels) channel.watch(poller);
    for (const drain of this.#drains) drain.watch(poller);
  }

  tick(now: number): void {
    for (const [channel, heartbeat] of this.#heartbeats) {
      try {
        heartbeat.tick(now);
      } catch (error) {
        this.#fail(channel.session, true, error);
      }
    }
  }

  stop(): void {
    for (const channel of this.#channels.splice(0)) channel.free();
    for (const drain of this.#drains.splice(0)) drain.free();
    this.#heartbeats.clear();
  }

  #add(command: Extract<PumpCommand, { kind: 'add' }>): void {
    let channel: Channel;
    try {
      channel = new Channel(command, this.#report, (from, type, payload) => this.#control(from, type, payload));
    } catch (error) {
      libc.close(command.wire);
      this.#fail(command.session, command.channel === controlChannel, error);
      return;
    } finally {
      new Uint8Array(command.secrets).fill(0);
    }
    this.#channels.push(channel);
    if (!channel.isControl) return;
    const now = performance.now();
    const heartbeat = new Heartbeat(channel, now);
    this.#heartbeats.set(channel, heartbeat);
    // At once, not at the next tick: a short session may be over by then, and would not know its round-trip time.
    heartbeat.tick(now);
  }

  #control(channel: Channel, type: number, payload: Buffer): void {
    const at = process.hrtime.bigint();
    this.#heartbeats.get(channel)?.heard(type, payload);
    if (type !== recordType.ping) this.#report({ kind: 'control', session: channel.session, type, payload, at });
  }

  #find(session: number, index: number): Channel | undefined {
    return this.#channels.find((channel) => channel.session === session && channel.index === index);
  }

  #end(channel: Channel): void {
    this.#close(channel);
    this.#report({ kind: 'ended', session: channel.session, channel: channel.index });
  }

  #fail(session: number, control: boolean, error: unknown): void {
    const known = error instanceof TransportError ? error : new TransportError('local', String(error), error);
    // First, so that the cause is known before QEMU can complain of its effect, which is that its sockets end.
    this.#report({ kind: 'failed', session, code: known.code, message: known.message });
    for (const channel of this.#channels.filter((each) => each.session === session && (control || !each.isControl))) {
      const local = this.#remove(channel);
      if (local >= 0) this.#leave(session, local, channel.isSource);
    }
  }

  /** The local socket of a channel that is no more, until its session is dropped. */
  #leave(session: number, local: number, isSource: boolean): void {
    if (isSource) this.#drains.push(new Drain(session, local));
    else libc.close(local);
  }

  #drop(session: number): void {
    for (const channel of this.#channels.filter((each) => each.session === session)) this.#close(channel);
    for (const drain of this.#drains.filter((each) => each.session === session)) drain.free();
    this.#drains = this.#drains.filter((each) => each.session !== session);
  }

  #close(channel: Channel): void {
    const local = this.#remove(channel);
    if (local >= 0) libc.close(local);
  }

  /** @returns the local socket's descriptor, still open; -1 where there is none */
  #remove(channel: Channel): number {
    const at = this.#channels.indexOf(channel);
    if (at >= 0) this.#channels.splice(at, 1);
    this.#heartbeats.delete(channel);
    return channel.release();
  }
}
