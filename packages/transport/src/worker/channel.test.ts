/** Two channels joined by a wire that the test relays in whatever pieces it likes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Role, recordType, type Suite } from '../constants.ts';
import { libc } from '../native/libc.ts';
import { decodePing } from '../record/control.ts';
import { drain, readFrom, unixPair, writeTo } from '../testing/wires.ts';
import { tunables } from '../tunables.ts';
import { Channel } from './channel.ts';
import { Heartbeat } from './heartbeat.ts';
import type { PumpReport } from './messages.ts';
import { Statistics } from './statistics.ts';

/** A channel, with its connection and its local socket in the test's hands. */
class End {
  readonly channel: Channel;
  readonly reports: PumpReport['kind'][] = [];
  readonly control: { type: number; payload: Buffer }[] = [];
  readonly wire: number;
  readonly #local: number;
  readonly far: number;
  #freed = false;

  constructor(role: Role, secrets: Uint8Array, { suite = 'aes-256-gcm' as Suite, index = 1, epochBits = 16 } = {}) {
    const [own, wire] = unixPair();
    [this.#local, this.far] = unixPair();
    this.wire = wire;
    const shared = new SharedArrayBuffer(64);
    new Uint8Array(shared).set(secrets);
    this.channel = new Channel(
      {
        kind: 'add',
        session: 1,
        channel: index,
        channels: 2,
        role,
        suite,
        epochBits,
        wire: own,
        secrets: shared,
        statistics: new Statistics(2).buffer,
      },
      ({ kind }) => this.reports.push(kind),
      (_, type, payload) => this.control.push({ type, payload }),
    );
  }

  /** The channel closes its side of the local socket with its own; where it was never attached, the test does. */
  attach(): void {
    this.channel.attach(this.#local);
  }

  get attached(): boolean {
    return this.reports.includes('first-data');
  }

  step(): boolean {
    for (const half of [this.channel.inbound, this.channel.outbound]) Object.assign(half, { wireReadable: true, wireWritable: true });
    Object.assign(this.channel.inbound, { localWritable: true });
    Object.assign(this.channel.outbound, { localReadable: true });
    return this.channel.step();
  }

  free(unattached: boolean): void {
    if (this.#freed) return;
    this.#freed = true;
    this.channel.free();
    if (unattached) libc.close(this.#local);
    libc.close(this.wire);
    libc.close(this.far);
  }
}

class Joined implements Disposable {
  readonly source: End;
  readonly destination: End;
  readonly #index: number;
  #attachedDestination = false;

  constructor(options: { suite?: Suite; index?: number; epochBits?: number } = {}) {
    const secrets = randomBytes(64);
    this.#index = options.index ?? 1;
    this.source = new End('source', secrets, options);
    this.destination = new End('destination', secrets, options);
    if (this.#index !== 0) this.source.attach();
  }

  /** Relays both ways, at most `most` bytes at a time, until nothing moves; attaches the destination when it says so. */
  settle(most = 65536): void {
    const { source, destination } = this;
    for (let moved = true; moved; ) {
      moved = source.step();
      moved = relay(source.wire, destination.wire, most) || moved;
      moved = destination.step() || moved;
      moved = relay(destination.wire, source.wire, most) || moved;
      if (destination.attached && !this.#attachedDestination) {
        this.#attachedDestination = true;
        destination.attach();
        moved = true;
      }
    }
  }

  [Symbol.dispose](): void {
    this.source.free(this.#index === 0);
    this.destination.free(!this.#attachedDestination);
  }
}

function relay(from: number, to: number, most: number): boolean {
  const part = readFrom(from, most);
  if (part === 'ended' || part.length === 0) return false;
  assert.equal(writeTo(to, part), part.length);
  return true;
}

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`a channel, suite ${suite}`, () => {
    it('carries any stream both ways in pieces of any size, over epoch boundaries, and ends', () => {
      const streams = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 });
      fc.assert(
        fc.property(streams, streams, fc.integer({ min: 1, max: 100 }), (there, back, most) => {
          using joined = new Joined({ suite, epochBits: 2 });
          const { source, destination } = joined;
          // The destination's QEMU is there only once something has come.
          const question = [Buffer.from('?'), ...there];
          for (const part of question) {
            writeTo(source.far, part);
            joined.settle(most);
          }
          for (const part of back) {
            writeTo(destination.far, part);
            joined.settle(most);
          }
          libc.shutdown(source.far, 1);
          joined.settle(most);
          assert.ok(!source.channel.finished && !destination.channel.finished);
          assert.deepEqual(drain(destination.far), Buffer.concat(question));
          assert.equal(readFrom(destination.far), 'ended');
          libc.shutdown(destination.far, 1);
          joined.settle(most);
          assert.deepEqual(drain(source.far), Buffer.concat(back));
          assert.ok(source.channel.finished && destination.channel.finished);
          assert.deepEqual(source.channel.outbound.total, destination.channel.inbound.total);
          assert.deepEqual(source.reports, ['close-queued', 'delivered']);
          assert.deepEqual(destination.reports, ['first-data', 'delivered', 'close-queued']);
        }),
        { numRuns: 25 },
      );
    });

    it('is answered with CLOSE where the source’s stream was empty, and never connected', () => {
      using joined = new Joined({ suite });
      libc.shutdown(joined.source.far, 1);
      joined.settle();
      assert.ok(joined.source.channel.finished && joined.destination.channel.finished);
      assert.deepEqual(joined.destination.reports, ['delivered', 'close-queued']);
      assert.equal(readFrom(joined.source.far), 'ended');
    });
  });
}

describe('the heartbeat', () => {
  const beating = () => {
    const joined = new Joined({ index: 0 });
    const now = performance.now();
    return { joined, now, near: new Heartbeat(joined.source.channel, now), far: new Heartbeat(joined.destination.channel, now) };
  };
  /** Lets each side's heartbeat hear what its channel has received. */
  const hear = (end: End, heartbeat: Heartbeat) => {
    for (const { type, payload } of end.control.splice(0)) heartbeat.heard(type, payload);
  };

  it('pings at once and then each second', () => {
    const { joined, now, near } = beating();
    using _ = joined;
    const pings = (at: number) => {
      near.tick(now + at);
      joined.settle();
      return joined.destination.control.splice(0).length;
    };
    assert.deepEqual([0, 10, 500].map(pings), [1, 0, 0]);
    assert.equal(pings(tunables.pingMs + 100), 1);
  });

  it('measures the round trip from what comes back', () => {
    const { joined, now, near, far } = beating();
    using _ = joined;
    near.tick(now);
    joined.settle();
    const [ping] = joined.destination.control;
    assert.ok(ping?.type === recordType.ping);
    assert.equal(decodePing(ping.payload).echo, 0);
    hear(joined.destination, far);
    joined.settle();
    const [answer] = joined.source.control;
    assert.ok(answer);
    assert.equal(decodePing(answer.payload).echo, decodePing(ping.payload).sentAt);
    hear(joined.source, near);
    assert.ok(joined.source.channel.statistics.leastRtt > 0);
  });

  it('says `peer` after ten seconds of silence, not before, and counts every record as a sign of life', () => {
    const { joined, now, near, far } = beating();
    using _ = joined;
    near.tick(now + tunables.silenceMs);
    assert.throws(() => near.tick(now + tunables.silenceMs + 1), { code: 'peer' });
    joined.source.channel.outbound.control(recordType.aborted, Buffer.alloc(0));
    joined.settle();
    const heardAt = performance.now();
    hear(joined.destination, far);
    far.tick(heardAt + tunables.silenceMs - 1);
    assert.throws(() => far.tick(performance.now() + tunables.silenceMs + 1), { code: 'peer' });
  });

  it('does not wait for a peer that has closed the channel, and does not ping after its own CLOSE', () => {
    const { joined, now, near, far } = beating();
    using _ = joined;
    joined.source.channel.outbound.close();
    joined.settle();
    joined.destination.control.length = 0;
    far.tick(now + 10 * tunables.silenceMs);
    near.tick(now + tunables.pingMs + 1);
    joined.settle();
    assert.deepEqual(joined.destination.control, []);
  });
});
