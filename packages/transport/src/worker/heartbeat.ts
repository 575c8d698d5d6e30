/** PING on channel 0: each side hears that the other lives, how far away it is, and what has reached it. docs/protocol.md "PING". */
import { firstDataChannel, recordType } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { decodePing, encodePing } from '../record/control.ts';
import { tunables } from '../tunables.ts';
import type { Channel } from './channel.ts';

const microseconds = (): number => Math.round(performance.now() * 1000);

export class Heartbeat {
  readonly #channel: Channel;
  #sentAt = Number.NEGATIVE_INFINITY;
  #heardAt: number;
  #peerSentAt = 0;
  #peerHeardAt = 0;

  /** @param now milliseconds, monotonic */
  constructor(channel: Channel, now: number) {
    this.#channel = channel;
    this.#heardAt = now;
  }

  /** Any authentic record on channel 0 is a sign of life. */
  heard(type: number, payload: Buffer): void {
    this.#heardAt = performance.now();
    if (type !== recordType.ping) return;
    const now = microseconds();
    const ping = decodePing(payload);
    const first = this.#peerSentAt === 0;
    this.#peerSentAt = ping.sentAt;
    this.#peerHeardAt = now;
    if (ping.echo !== 0) this.#channel.statistics.sampleRtt(Math.max(1, now - ping.echo - ping.echoAge));
    // The first is answered at once, so that even a short migration knows its round-trip time.
    if (first) this.#send();
  }

  /** @throws TransportError `peer` after {@link tunables.silenceMs} without a sign of life */
  tick(now: number): void {
    // A peer that has closed channel 0 has nothing more to say.
    if (now - this.#heardAt > tunables.silenceMs && !this.#channel.inbound.delivered) {
      throw new TransportError('peer', `nothing was heard from the peer for ${tunables.silenceMs / 1000} s`);
    }
    if (now - this.#sentAt >= tunables.pingMs) this.#send();
  }

  #send(): void {
    const { channels, statistics, outbound } = this.#channel;
    if (outbound.closeQueued) return;
    this.#sentAt = performance.now();
    const received: number[] = [];
    for (let channel = firstDataChannel; channel < channels; channel++) received.push(statistics.get(channel, 'inBytes'));
    const now = microseconds();
    const echoAge = this.#peerSentAt === 0 ? 0 : now - this.#peerHeardAt;
    outbound.control(recordType.ping, encodePing({ sentAt: now, echo: this.#peerSentAt, echoAge, received }));
  }
}
