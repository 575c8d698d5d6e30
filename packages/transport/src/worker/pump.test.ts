import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { recordType } from '../constants.ts';
import { libc } from '../native/libc.ts';
import { MiniDirection } from '../testing/mini.ts';
import { readFrom, unixPair, writeTo } from '../testing/wires.ts';
import { Poller } from './loop.ts';
import type { PumpReport } from './messages.ts';
import { Pump } from './pump.ts';
import { Statistics } from './statistics.ts';

/** A pump that drives channels of the destination's, whose wires end in the test. */
class Bench implements Disposable {
  readonly reports: PumpReport[] = [];
  /** Looks at things as they are when a report is made. */
  onReport = (_report: PumpReport): void => undefined;
  readonly pump = new Pump((report) => {
    this.reports.push(report);
    this.onReport(report);
  });
  readonly #poller = new Poller();
  readonly #wires: number[] = [];

  /** @returns the far end of its wire, and what its source seals with */
  add(session: number, channel: number): { wire: number; source: MiniDirection; secrets: SharedArrayBuffer } {
    const [own, wire] = unixPair();
    this.#wires.push(wire);
    const secret = randomBytes(32);
    const secrets = new SharedArrayBuffer(64);
    new Uint8Array(secrets).set(Buffer.concat([secret, randomBytes(32)]));
    this.pump.message({
      kind: 'add',
      session,
      channel,
      channels: 4,
      role: 'destination',
      suite: 'aes-256-gcm',
      epochBits: 16,
      wire: own,
      secrets,
      statistics: new Statistics(4).buffer,
    });
    return { wire, source: new MiniDirection(secret, { start: 1 }), secrets };
  }

  /** One round of a worker's loop. */
  turn(): void {
    this.#poller.clear();
    this.pump.watch(this.#poller);
    this.#poller.wait(0);
    this.pump.step();
  }

  kinds(): string[] {
    return this.reports.map((report) => `${report.kind} ${report.session}`);
  }

  [Symbol.dispose](): void {
    this.pump.stop();
    for (const wire of this.#wires) libc.close(wire);
  }
}

const isOpen = (wire: number): boolean => {
  for (;;) {
    const part = readFrom(wire);
    if (part === 'ended' || part.length === 0) return part !== 'ended';
  }
};

describe('a pump', () => {
  it('sends the first PING of channel 0 without waiting for a tick, so that the shortest session has one', () => {
    using bench = new Bench();
    const { wire } = bench.add(1, 0);
    bench.turn();
    const sent = readFrom(wire);
    assert.ok(sent !== 'ended');
    assert.equal(sent[0], recordType.ping);
  });

  it('takes a channel’s secrets: they are gone at the sender', () => {
    using bench = new Bench();
    assert.ok(new Uint8Array(bench.add(1, 1).secrets).every((byte) => byte === 0));
  });

  it('ends a failed channel and its session’s others, but not channel 0, nor other sessions', () => {
    using bench = new Bench();
    const [control, failing, other] = [bench.add(1, 0), bench.add(1, 1), bench.add(1, 2)];
    const bystander = bench.add(2, 1);
    writeTo(failing.wire, randomBytes(64));
    bench.turn();
    assert.deepEqual(bench.kinds(), ['failed 1']);
    assert.deepEqual(
      [control, failing, other, bystander].map(({ wire }) => isOpen(wire)),
      [true, false, false, true],
    );
    // ABORTED can still be heard and said.
    writeTo(control.wire, control.source.seal(recordType.aborted, 0, Buffer.alloc(0)));
    bench.turn();
    assert.deepEqual(bench.kinds(), ['failed 1', 'control 1']);
    bench.pump.message({ kind: 'send', session: 1, type: recordType.aborted, payload: Buffer.alloc(0) });
    bench.turn();
    const said = readFrom(control.wire);
    assert.ok(said !== 'ended' && said[0] === recordType.aborted);
  });

  it('says why before it closes anything, so that no consequence is heard of first', () => {
    using bench = new Bench();
    const [failing, other] = [bench.add(1, 1), bench.add(1, 2)];
    const open: boolean[] = [];
    bench.onReport = () => open.push(isOpen(failing.wire), isOpen(other.wire));
    writeTo(failing.wire, randomBytes(64));
    bench.turn();
    assert.deepEqual(open, [true, true]);
    assert.deepEqual([isOpen(failing.wire), isOpen(other.wire)], [false, false]);
  });

  it('ends the whole session where channel 0 fails', () => {
    using bench = new Bench();
    const [control, data] = [bench.add(1, 0), bench.add(1, 3)];
    writeTo(control.wire, randomBytes(64));
    bench.turn();
    assert.deepEqual(bench.kinds(), ['failed 1']);
    assert.deepEqual(
      [control, data].map(({ wire }) => isOpen(wire)),
      [false, false],
    );
  });

  it('drops a session silently and answers once', () => {
    using bench = new Bench();
    const [control, data, bystander] = [bench.add(1, 0), bench.add(1, 1), bench.add(2, 0)];
    bench.pump.message({ kind: 'drop', session: 1 });
    assert.deepEqual(bench.kinds(), ['dropped 1']);
    assert.deepEqual(
      [control, data, bystander].map(({ wire }) => isOpen(wire)),
      [false, false, true],
    );
    bench.pump.message({ kind: 'drop', session: 1 });
    assert.deepEqual(bench.kinds(), ['dropped 1', 'dropped 1']);
  });

  it('closes a local socket that comes too late; at the source it is read and kept until the session is dropped', () => {
    using bench = new Bench();
    for (const role of ['destination', 'source'] as const) {
      const [local, far] = unixPair();
      bench.pump.message({ kind: 'attach', session: 1, channel: 1, role, local });
      bench.turn();
      assert.equal(isOpen(far), role === 'source', role);
      bench.pump.message({ kind: 'drop', session: 1 });
      assert.ok(!isOpen(far));
      libc.close(far);
    }
  });

  it('closes everything when it stops', () => {
    using bench = new Bench();
    const channels = [bench.add(1, 0), bench.add(1, 1), bench.add(2, 1)];
    bench.pump.stop();
    assert.ok(channels.every(({ wire }) => !isOpen(wire)));
  });
});
