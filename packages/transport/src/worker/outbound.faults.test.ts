/** Every call that an outbound direction makes into libc and OpenSSL fails once, in every way: what is on the wire is sealed, in order, or not there. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { recordType, type Suite } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { Epochs } from '../keys/epochs.ts';
import { evp } from '../native/evp.ts';
import { E, libc } from '../native/libc.ts';
import { answering, type Fault, Faults, failing, shortened } from '../testing/faults.ts';
import { closePayload, MiniDirection } from '../testing/mini.ts';
import { borrowPair, drain, unixPair, writeTo } from '../testing/wires.ts';
import { Outbound } from './outbound.ts';
import { Statistics } from './statistics.ts';

/** Told apart from anything sealed by being there or not. */
const parts = [Buffer.alloc(700, 'the first page of a guest. '), Buffer.alloc(1, '!'), Buffer.alloc(5000, 'another page of it. ')];
const whole = Buffer.concat(parts);

interface Outcome {
  readonly calls: readonly string[];
  readonly error: TransportError | undefined;
  readonly wire: Buffer;
  readonly peer: MiniDirection;
}

/** Carries three writes and the end of the stream, over an epoch boundary. */
function carry(suite: Suite, table: object, names: readonly string[], at = -1, fault?: Fault): Outcome {
  const secret = randomBytes(32);
  const [own, wire] = borrowPair();
  const [local, far] = unixPair();
  const outbound = new Outbound(1, own, new Epochs(Buffer.from(secret), 'seal', 0, 1), suite, new Statistics(4));
  outbound.attach(local);
  let sent = Buffer.alloc(0);
  let error: TransportError | undefined;
  const faults = new Faults(table, names, at, fault);
  const work = () => {
    for (let idle = 0; idle < 3; ) {
      outbound.wireWritable = true;
      outbound.localReadable = true;
      const moved = outbound.step();
      sent = Buffer.concat([sent, drain(wire)]);
      idle = moved ? 0 : idle + 1;
    }
  };
  const write = (part: Buffer) => {
    // The test's own call is none of the direction's.
    faults.pause(() => writeTo(far, part));
    work();
  };
  try {
    for (const part of parts) write(part);
    libc.shutdown(far, 1);
    work();
  } catch (thrown) {
    if (!(thrown instanceof TransportError)) throw thrown;
    error = thrown;
  } finally {
    faults[Symbol.dispose]();
    sent = Buffer.concat([sent, drain(wire)]);
    outbound.free();
    for (const fd of [own, wire, local, far]) libc.close(fd);
  }
  return { calls: faults.calls, error, wire: sent, peer: new MiniDirection(secret, { suite, epochBits: 1 }) };
}

/** Whole records as the peer opens them, which throws where one is not the next. A part of one at the end is left over. */
function opened({ wire, peer }: Outcome): { records: { type: number; payload: Buffer }[]; rest: number } {
  const records: { type: number; payload: Buffer }[] = [];
  let at = 0;
  while (wire.length - at >= 16) {
    const end = at + 32 + wire.readUInt32BE(at + 4);
    if (end > wire.length) break;
    records.push(peer.open(wire.subarray(at, end)));
    at = end;
  }
  return { records, rest: wire.length - at };
}

const dataOf = (records: readonly { type: number; payload: Buffer }[]) =>
  Buffer.concat(records.filter(({ type }) => type === recordType.data).map(({ payload }) => payload));

function assertComplete(outcome: Outcome, what: string): void {
  assert.equal(outcome.error, undefined, what);
  const { records, rest } = opened(outcome);
  assert.equal(rest, 0, what);
  const close = records.at(-1);
  assert.deepEqual(dataOf(records), whole, what);
  assert.deepEqual([close?.type, close?.payload], [recordType.close, closePayload(records.length - 1, whole.length)], what);
}

function assertFailed(outcome: Outcome, suite: Suite, code: string, what: string): void {
  assert.equal(outcome.error?.code, code, what);
  const { records } = opened(outcome);
  assert.ok(
    records.every(({ type }) => type === recordType.data),
    `${what}: CLOSE was said`,
  );
  const data = dataOf(records);
  assert.deepEqual(data, whole.subarray(0, data.length), what);
  if (suite !== 'none') assert.ok(!outcome.wire.includes('page') && !outcome.wire.includes('guest'), `${what}: plaintext is on the wire`);
}

const calls = ['read', 'send'] as const;
const seals = ['encryptInit', 'encryptUpdate', 'encryptFinal', 'control'] as const;

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`an outbound direction, suite ${suite}, with one call that fails`, () => {
    const count = carry(suite, libc, calls).calls;

    it('carries everything where nothing fails', () => {
      assert.ok(count.includes('read') && count.includes('send'));
      assertComplete(carry(suite, libc, calls), 'no fault');
    });

    for (const [name, fault] of [
      ['is interrupted', failing(E.INTR)],
      ['would block', failing(E.AGAIN)],
      ['moves one byte', shortened(2)],
    ] as const) {
      it(`loses nothing where a call ${name}, at every place`, () => {
        count.forEach((call, at) => {
          assertComplete(carry(suite, libc, calls, at, fault), `${call}, call ${at}`);
        });
      });
    }

    it('fails with the right code where a call fails, at every place', () => {
      count.forEach((call, at) => {
        for (const [errno, wire] of [
          [E.PIPE, 'truncated'],
          [E.CONNRESET, 'truncated'],
          [5 /* EIO */, 'truncated'],
          [110 /* ETIMEDOUT */, 'stalled'],
          [113 /* EHOSTUNREACH */, 'stalled'],
        ] as const) {
          const what = `${call}, call ${at}, errno ${errno}`;
          const code = call === 'read' ? 'local' : wire;
          const outcome = carry(suite, libc, calls, at, failing(errno));
          // The very last send carries CLOSE: where it fails, CLOSE was not said either.
          assertFailed(outcome, suite, code, what);
        }
      });
    });

    const sealing = carry(suite, evp, seals).calls;

    it('sends nothing of a record whose sealing failed, at every call of OpenSSL', () => {
      assert.deepEqual(new Set(sealing), new Set(seals));
      sealing.forEach((call, at) => {
        for (const value of [0, -1]) {
          assertFailed(carry(suite, evp, seals, at, answering(value)), suite, 'local', `${call}, call ${at}, answers ${value}`);
        }
      });
    });

    it('notices an update that says it has succeeded and has done nothing', () => {
      sealing.forEach((call, at) => {
        if (call !== 'encryptUpdate') return;
        assertFailed(carry(suite, evp, seals, at, answering(1)), suite, 'local', `call ${at}`);
      });
    });

    it('never puts plaintext on the wire, whatever call lies', () => {
      sealing.forEach((call, at) => {
        const { wire } = carry(suite, evp, seals, at, answering(1));
        if (suite !== 'none') assert.ok(!wire.includes('page') && !wire.includes('guest'), `${call}, call ${at}`);
      });
    });
  });
}
