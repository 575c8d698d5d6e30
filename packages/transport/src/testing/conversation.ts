/**
 * What two agents do with a pair of sessions, without QEMUs: every stream is carried there, an answer comes back, the source grants when its
 * streams have ended, the destination runs when it has the grant and all that it counts, both close. It remembers what reached the local sockets.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type net from 'node:net';
import type { ChannelTotal } from '../record/control.ts';
import type { Pair } from './pair.ts';

/** Several records, on each channel. */
const thereBytes = 600 * 1024;
const backBytes = 40 * 1024;

/** A stream says in its first byte which channel it is. */
function streamOf(channel: number, length: number): Buffer {
  const bytes = randomBytes(length);
  bytes[0] = channel;
  return bytes;
}

const sameTotals = (a: readonly ChannelTotal[], b: readonly ChannelTotal[]): boolean =>
  a.length === b.length && a.every((total, i) => total.records === b[i]?.records && total.bytes === b[i]?.bytes);

export class Conversation {
  /** The destination had all it takes to run the VM. */
  ran = false;
  /** Every stream was carried and every channel closed, both ways. Never settles where that does not come about. */
  readonly completed: Promise<void>;
  /** The source's streams are connected and written. Rejects where that cannot be done, as after the session has failed. */
  readonly sent: Promise<void>;
  readonly #pair: Pair;
  readonly #there: Buffer[];
  readonly #back: Buffer[];
  readonly #arrivedThere: Buffer[][] = [];
  readonly #arrivedBack: Buffer[][] = [];

  readonly #ends: Promise<void>[] = [];

  /** Begins at once. */
  constructor(pair: Pair) {
    const streams = pair.source.attempt.channels - 1;
    this.#pair = pair;
    this.#there = Array.from({ length: streams }, (_, i) => streamOf(i + 1, thereBytes));
    this.#back = Array.from({ length: streams }, (_, i) => streamOf(i + 1, backBytes));
    this.completed = new Promise((resolve) => {
      Promise.all([pair.source.ended, pair.destination.ended]).then(
        // What the threads have written is not yet what this one has read.
        () => Promise.all(this.#ends).then(() => resolve()),
        () => undefined,
      );
    });
    this.sent = this.#send();
    this.sent.catch(() => undefined);
    for (let i = 0; i < streams; i++) void pair.arrivedStreams(i + 1).then((sockets) => this.#answer(sockets[i]));
    void this.#grant();
    void this.#run();
  }

  /** What reached the local sockets is, channel by channel, what was sent, from the beginning to some point. */
  assertPrefixes(): void {
    this.#compare((found, sent) => assert.ok(found.equals(sent.subarray(0, found.length)), 'a local socket got what was never sent'));
  }

  /** All of it arrived, at both ends. */
  assertWhole(): void {
    const count = this.#compare((found, sent) => assert.ok(found.equals(sent)));
    assert.equal(count, this.#there.length + this.#back.length);
  }

  #compare(check: (found: Buffer, sent: Buffer) => void): number {
    let count = 0;
    for (const [arrived, sent] of [
      [this.#arrivedThere, this.#there],
      [this.#arrivedBack, this.#back],
    ] as const) {
      for (const parts of arrived) {
        const found = Buffer.concat(parts);
        if (found.length === 0) continue;
        count++;
        check(found, sent[(found[0] ?? 0) - 1] ?? Buffer.alloc(0));
      }
    }
    return count;
  }

  async #send(): Promise<void> {
    // As an agent does: QEMU is told to migrate when every channel is there. A destination without its channel 0 hears of no end.
    await this.#pair.source.confirmed;
    for (const [i, socket] of (await this.#pair.connectStreams(this.#there.length)).entries()) {
      this.#collect(socket, this.#arrivedBack);
      socket.end(this.#there[i] ?? Buffer.alloc(0));
    }
  }

  #answer(socket: net.Socket | undefined): void {
    if (!socket) return;
    const parts = this.#collect(socket, this.#arrivedThere);
    socket.once('data', () => socket.write(this.#back[(parts[0]?.[0] ?? 0) - 1] ?? Buffer.alloc(0)));
    socket.on('end', () => socket.end());
  }

  async #grant(): Promise<void> {
    const { source, sourceHeard } = this.#pair;
    const totals = await source.localEnded.catch(() => undefined);
    if (!totals) return;
    source.grant({ runState: 'running', totals, diskWrites: [] });
    await sourceHeard.until(({ control }) => control.some(({ type }) => type === 'running'));
    source.close();
  }

  async #run(): Promise<void> {
    const { destination, destinationHeard } = this.#pair;
    const totals = await destination.delivered.catch(() => undefined);
    if (!totals) return;
    await destinationHeard.until(({ control }) => control.some(({ type }) => type === 'grant'));
    const granted = destinationHeard.control.find((message) => message.type === 'grant');
    if (!granted || !sameTotals(granted.grant.totals, totals)) return;
    this.ran = true;
    destination.running();
    destination.close();
  }

  #collect(socket: net.Socket, into: Buffer[][]): Buffer[] {
    const parts: Buffer[] = [];
    into.push(parts);
    socket.on('data', (part: Buffer) => parts.push(part));
    this.#ends.push(new Promise((resolve) => socket.once('end', resolve).once('close', () => resolve())));
    return parts;
  }
}
