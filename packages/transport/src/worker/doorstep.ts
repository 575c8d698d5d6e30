/**
 * The destination's side before authentication: whoever connects gets five seconds, exactly M1's bytes, and no answer unless M1 proves the
 * key. A failure closes that connection and nothing else. When too many wait, one drawn at random goes, addresses in no spec first.
 */
import { randomInt } from 'node:crypto';
import { confirmBytes, m1Bytes } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { DestinationHello, type Finished } from '../hello/hello.ts';
import { decodeM1, m1IsAuthentic } from '../hello/messages.ts';
import { Epoll } from '../native/epoll.ts';
import { libc, POLL } from '../native/libc.ts';
import { accept, exhausted, tuneTcp } from '../native/sockets.ts';
import { tunables } from '../tunables.ts';
import { Exchange } from './exchange.ts';
import type { Poller, Target } from './loop.ts';

/** What the doorstep must know of an attempt that it may let in. */
export interface Expected {
  readonly session: number;
  readonly version: number;
  /** Hexadecimal. */
  readonly migration: string;
  readonly attempt: number;
  readonly channels: number;
  readonly context: Uint8Array;
  readonly keys: { readonly hello: Uint8Array; readonly dh: Uint8Array };
  /** Channels that have been confirmed: each is let in once. */
  readonly claimed: Set<number>;
}

interface Guest {
  readonly exchange: Exchange;
  /** Whether it is watched for room to send in as well. */
  sending: boolean;
  readonly deadline: number;
  hello: DestinationHello | undefined;
  expected: Expected | undefined;
  channel: number;
}

export class Doorstep {
  readonly #find: (migration: string, attempt: number) => Expected | undefined;
  readonly #confirmed: (expected: Expected, channel: number, wire: number, secrets: Finished) => void;
  readonly #guests = new Map<number, Guest>();
  /** Holds all guests; there since the first of them. Looking at all of them for each that comes would be most of the work under a flood. */
  #epoll: Epoll | undefined;

  constructor(
    find: (migration: string, attempt: number) => Expected | undefined,
    confirmed: (expected: Expected, channel: number, wire: number, secrets: Finished) => void,
  ) {
    this.#find = find;
    this.#confirmed = confirmed;
  }

  get pending(): number {
    return this.#guests.size;
  }

  /** Takes in whoever waits on a listening socket. @returns false where there is no descriptor left for the next one */
  admit(listener: number, now: number): boolean {
    let epoll: Epoll;
    try {
      epoll = this.#epoll ??= new Epoll();
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      return false;
    }
    let fd = accept(listener);
    for (; fd >= 0; fd = accept(listener)) {
      if (this.#guests.size >= tunables.maxPending) this.#evict();
      const exchange = new Exchange(fd);
      exchange.expect(m1Bytes);
      const guest: Guest = {
        exchange,
        sending: false,
        deadline: now + tunables.helloMs,
        hello: undefined,
        expected: undefined,
        channel: -1,
      };
      this.#guests.set(fd, guest);
      this.#attempt(guest, () => epoll.add(fd, POLL.IN));
    }
    return fd !== exhausted;
  }

  watch(poller: Poller, target: Target): void {
    if (this.#epoll && this.#guests.size > 0) poller.add(this.#epoll.fd, POLL.IN, target);
  }

  /** @returns whether the descriptor is this doorstep's */
  ready(fd: number): boolean {
    if (!this.#epoll || fd !== this.#epoll.fd) return false;
    for (const each of this.#epoll.ready()) {
      const guest = this.#guests.get(each);
      if (guest) this.#attempt(guest, () => this.#hear(guest));
    }
    return true;
  }

  tick(now: number): void {
    for (const guest of [...this.#guests.values()]) if (now > guest.deadline) this.#close(guest);
  }

  /** Sends away everyone who has named this session. */
  forget(session: number): void {
    for (const guest of [...this.#guests.values()]) if (guest.expected?.session === session) this.#close(guest);
  }

  clear(): void {
    for (const guest of [...this.#guests.values()]) this.#close(guest);
    this.#epoll?.close();
    this.#epoll = undefined;
  }

  /** Whatever this host cannot do for this connection, the others go on. */
  #attempt(guest: Guest, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      this.#close(guest);
    }
  }

  #hear(guest: Guest): void {
    if (!guest.exchange.flush()) {
      this.#close(guest);
      return;
    }
    this.#watchSending(guest);
    const flight = guest.exchange.receive();
    if (flight === 'ended') this.#close(guest);
    else if (flight) {
      if (guest.hello) this.#confirm(guest, guest.hello, flight);
      else this.#answer(guest, flight);
    }
  }

  #answer(guest: Guest, m1: Buffer): void {
    const fields = decodeM1(m1);
    const expected = this.#find(fields.migration, fields.attempt);
    if (
      !expected ||
      fields.version !== expected.version ||
      fields.channel >= expected.channels ||
      expected.claimed.has(fields.channel) ||
      !m1IsAuthentic(m1, expected.keys.hello)
    ) {
      this.#close(guest);
      return;
    }
    const hello = DestinationHello.answering(m1, fields.ephemeral, fields.channel, expected.keys, expected.context);
    if (!hello) {
      this.#close(guest);
      return;
    }
    guest.hello = hello;
    guest.expected = expected;
    guest.channel = fields.channel;
    guest.exchange.send(hello.answer);
    guest.exchange.expect(confirmBytes);
    if (guest.exchange.flush()) this.#watchSending(guest);
    else this.#close(guest);
  }

  #watchSending(guest: Guest): void {
    const { fd, sending } = guest.exchange;
    if (sending === guest.sending) return;
    guest.sending = sending;
    this.#epoll?.change(fd, sending ? POLL.IN | POLL.OUT : POLL.IN);
  }

  #confirm(guest: Guest, hello: DestinationHello, confirm: Buffer): void {
    const { expected, channel, exchange } = guest;
    // First, as it may fail; afterwards nothing does.
    tuneTcp(exchange.fd);
    this.#epoll?.remove(exchange.fd);
    // Another connection may have claimed the channel since this one's M1.
    const secrets = expected && !expected.claimed.has(channel) ? hello.finish(confirm) : undefined;
    if (!expected || !secrets) {
      this.#close(guest);
      return;
    }
    this.#guests.delete(exchange.fd);
    expected.claimed.add(channel);
    this.#confirmed(expected, channel, exchange.fd, secrets);
  }

  #evict(): void {
    const strangers = [...this.#guests.values()].filter((guest) => !guest.expected);
    const candidates = strangers.length > 0 ? strangers : [...this.#guests.values()];
    const chosen = candidates[randomInt(candidates.length)];
    if (chosen) this.#close(chosen);
  }

  #close(guest: Guest): void {
    this.#guests.delete(guest.exchange.fd);
    guest.hello?.free();
    libc.close(guest.exchange.fd);
  }
}
