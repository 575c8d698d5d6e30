/** A thread that dies in the middle of its work leaves nothing: no context with its key schedule, no page, no descriptor, no key on its way to it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { evp } from './native/evp.ts';
import { libc } from './native/libc.ts';
import { Pool } from './pool.ts';
import { Faults } from './testing/faults.ts';
import { testAttempt } from './testing/pair.ts';
import { readFrom, unixPair } from './testing/wires.ts';
import type { GateCommand, PumpCommand, PumpReport } from './worker/messages.ts';
import { Statistics } from './worker/statistics.ts';

const descriptors = (): number => readdirSync('/proc/self/fd').length;
/** kB of memory that is kept out of swap, which the pages of keys are. */
const locked = (): number => Number(/^VmLck:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

/** Nothing that the main thread sends: taking it ends a pump's thread. */
const poison = { kind: 'attach', session: 99, channel: 1, local: 'no number' } as unknown as PumpCommand; // that it is none is the point
const gatePoison = { kind: 'expect', migration: 'no such' } as unknown as GateCommand; // as above

class Bench {
  readonly reports: PumpReport[] = [];
  readonly #died = Promise.withResolvers<void>();
  readonly #far: number[] = [];
  #wake: () => void = () => undefined;
  readonly pool = new Pool(1, {
    gate: () => undefined,
    pump: (report) => {
      this.reports.push(report);
      this.#wake();
    },
    death: () => this.#died.resolve(),
  });

  get died(): Promise<void> {
    return this.#died.promise;
  }

  post(command: PumpCommand): boolean {
    return this.pool.pumps[0]?.post(command) ?? false;
  }

  /** @returns the far ends of a channel's two sockets, and the secrets that were handed over */
  add(channel: number): { wire: number; local: number; secrets: Uint8Array } {
    const [own, wire] = unixPair();
    const [local, far] = unixPair();
    this.#far.push(wire, far);
    const secrets = new SharedArrayBuffer(64);
    new Uint8Array(secrets).set(randomBytes(64));
    const statistics = new Statistics(4).buffer;
    const common = { session: 1, channel, channels: 4, role: 'source', suite: 'aes-256-gcm', epochBits: 16 } as const;
    this.post({ kind: 'add', ...common, wire: own, secrets, statistics });
    this.post({ kind: 'attach', session: 1, channel, role: 'source', local });
    return { wire, local: far, secrets: new Uint8Array(secrets) };
  }

  /** Resolves once the pump has taken all that was posted before. */
  async settled(): Promise<void> {
    const answers = () => this.reports.filter(({ kind }) => kind === 'dropped').length;
    const before = answers();
    this.post({ kind: 'drop', session: 1000 });
    while (answers() === before) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  async end(): Promise<void> {
    for (const fd of this.#far) libc.close(fd);
    await this.pool.stop();
  }
}

describe('a pump that dies', () => {
  it('has its contexts freed, its pages unmapped and its descriptors closed', async () => {
    const before = { descriptors: descriptors(), locked: locked() };
    const bench = new Bench();
    using frees = new Faults(evp, ['freeContext']);
    try {
      const ends = [bench.add(1), bench.add(2), bench.add(3)];
      await bench.settled();
      assert.ok(locked() > before.locked, 'keys are on locked pages while they are used');
      assert.ok(ends.every(({ wire, local }) => readFrom(wire) !== 'ended' && readFrom(local) !== 'ended'));
      bench.post(poison);
      await bench.died;
      assert.equal(frees.calls.length, 6, 'one context for each direction of three channels');
      assert.ok(ends.every(({ wire, local }) => readFrom(wire) === 'ended' && readFrom(local) === 'ended'));
      assert.equal(locked(), before.locked);
    } finally {
      await bench.end();
    }
    assert.equal(descriptors(), before.descriptors);
  });

  it('takes along what was on its way to it, and what is sent to it afterwards', async () => {
    const before = descriptors();
    const bench = new Bench();
    try {
      await bench.settled();
      bench.post(poison);
      const onItsWay = bench.add(1);
      await bench.died;
      const afterwards = bench.add(2);
      for (const { wire, local, secrets } of [onItsWay, afterwards]) {
        assert.deepEqual([readFrom(wire), readFrom(local)], ['ended', 'ended']);
        assert.ok(secrets.every((byte) => byte === 0));
      }
    } finally {
      await bench.end();
    }
    assert.equal(descriptors(), before);
  });
});

describe('a gate that dies', () => {
  it('takes along the keys of its hellos', async () => {
    const bench = new Bench();
    try {
      const keys = new SharedArrayBuffer(64);
      new Uint8Array(keys).set(randomBytes(64));
      const { migration, attempt, channels, protocolVersion: version } = testAttempt();
      bench.pool.gate.post({ kind: 'expect', session: 1, version, migration, attempt, channels, context: Buffer.alloc(32), keys });
      bench.pool.gate.post(gatePoison);
      await bench.died;
      assert.deepEqual(new Uint8Array(keys), new Uint8Array(64));
    } finally {
      await bench.end();
    }
  });
});

describe('a pool that is stopped', () => {
  it('leaves no locked page behind', async () => {
    const before = locked();
    const bench = new Bench();
    bench.add(1);
    await bench.settled();
    await bench.end();
    assert.equal(locked(), before);
  });
});
