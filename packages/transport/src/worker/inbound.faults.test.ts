/** Every call that an inbound direction makes into libc and OpenSSL fails once, in every way: only what was opened reaches the local socket. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordType, type Suite } from '../constants.ts';
import { TransportError } from '../errors.ts';
import { evp } from '../native/evp.ts';
import { E, libc } from '../native/libc.ts';
import { answering, type Fault, Faults, failing, shortened } from '../testing/faults.ts';
import { InboundBench } from '../testing/inbound-bench.ts';
import { closePayload } from '../testing/mini.ts';

const parts = [Buffer.alloc(700, 'the first page of a guest. '), Buffer.alloc(1, '!'), Buffer.alloc(5000, 'another page of it. ')];
const whole = Buffer.concat(parts);
/** Where a record ends in the stream of plaintext: what is written is cut nowhere else where opening fails. */
const ends = [0, 700, 701, 5701];

interface Outcome {
  readonly calls: readonly string[];
  readonly error: TransportError | undefined;
  readonly written: Buffer;
  readonly delivered: boolean;
}

/** A true peer sends three records and CLOSE, over epoch boundaries, in two pieces so that headers come along with bodies and by themselves. */
function carry(suite: Suite, table: object, names: readonly string[], at = -1, fault?: Fault): Outcome {
  using bench = new InboundBench({ suite, epochBits: 1 });
  const stream = Buffer.concat([
    ...parts.map((part) => bench.data(part)),
    bench.peer.seal(recordType.close, 1, closePayload(3, whole.length)),
  ]);
  const faults = new Faults(table, names, at, fault);
  bench.around = (act) => faults.pause(act);
  let error: TransportError | undefined;
  try {
    bench.feed(stream.subarray(0, 740));
    bench.feed(stream.subarray(740));
    bench.work();
    bench.work();
  } catch (thrown) {
    if (!(thrown instanceof TransportError)) throw thrown;
    error = thrown;
  } finally {
    faults[Symbol.dispose]();
  }
  return { calls: faults.calls, error, written: bench.written, delivered: bench.inbound.delivered };
}

function assertComplete(outcome: Outcome, what: string): void {
  assert.equal(outcome.error, undefined, what);
  assert.deepEqual(outcome.written, whole, what);
  assert.ok(outcome.delivered, what);
}

function assertFailed(outcome: Outcome, code: string, what: string): void {
  assert.equal(outcome.error?.code, code, what);
  assert.deepEqual(outcome.written, whole.subarray(0, outcome.written.length), what);
}

const receives = ['recv', 'readv'] as const;
const calls = [...receives, 'send'] as const;
const opens = ['decryptInit', 'control', 'decryptUpdate', 'decryptFinal'] as const;

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`an inbound direction, suite ${suite}, with one call that fails`, () => {
    const count = carry(suite, libc, calls).calls;

    it('delivers everything where nothing fails', () => {
      assert.deepEqual(new Set(count), new Set(calls));
      assertComplete(carry(suite, libc, calls), 'no fault');
    });

    for (const [name, fault] of [
      ['is interrupted', failing(E.INTR)],
      ['would block', failing(E.AGAIN)],
    ] as const) {
      it(`loses nothing where a call ${name}, at every place`, () => {
        count.forEach((call, at) => {
          assertComplete(carry(suite, libc, calls, at, fault), `${call}, call ${at}`);
        });
      });
    }

    it('loses nothing where a call moves one byte, at every place', () => {
      count.forEach((call, at) => {
        // A readv has its lengths in memory; that records come in any pieces is shown by inbound.test.ts.
        if (call !== 'readv') assertComplete(carry(suite, libc, calls, at, shortened(2)), `${call}, call ${at}`);
      });
    });

    it('fails with the right code where a call fails, at every place', () => {
      count.forEach((call, at) => {
        for (const [errno, wire] of [
          [E.PIPE, 'truncated'],
          [E.CONNRESET, 'truncated'],
          [5 /* EIO */, 'truncated'],
          [110 /* ETIMEDOUT */, 'stalled'],
          [113 /* EHOSTUNREACH */, 'stalled'],
        ] as const) {
          const outcome = carry(suite, libc, calls, at, failing(errno));
          // After CLOSE a reset loses nothing.
          if (outcome.delivered && errno === E.CONNRESET) assertComplete(outcome, `${call}, call ${at}`);
          else assertFailed(outcome, call === 'send' ? 'local' : wire, `${call}, call ${at}, errno ${errno}`);
        }
      });
    });

    it('is truncated where the stream ends, at every place before the end of CLOSE', () => {
      count.forEach((call, at) => {
        if (call === 'send') return;
        const outcome = carry(suite, libc, calls, at, answering(0));
        if (outcome.delivered) assertComplete(outcome, `call ${at}`);
        else assertFailed(outcome, 'truncated', `${call}, call ${at}`);
      });
    });

    const opening = carry(suite, evp, opens).calls;

    it('writes nothing of a record that could not be opened, at every call of OpenSSL', () => {
      assert.deepEqual(new Set(opening), new Set(opens));
      opening.forEach((call, at) => {
        for (const value of [0, -1]) {
          const outcome = carry(suite, evp, opens, at, answering(value));
          assertFailed(outcome, call === 'decryptFinal' ? 'record' : 'local', `${call}, call ${at}, answers ${value}`);
          assert.ok(ends.includes(outcome.written.length), `${call}, call ${at}: ${outcome.written.length} bytes were written`);
        }
      });
    });

    it('writes nothing of a record where a step before the last says that it has succeeded and has done nothing', () => {
      opening.forEach((call, at) => {
        // That the tag is right is decryptFinal's to say, and nobody else's.
        if (call === 'decryptFinal') return;
        const outcome = carry(suite, evp, opens, at, answering(1));
        assert.ok(outcome.error?.code === 'record' || outcome.error?.code === 'local', `${call}, call ${at}: ${outcome.error?.code}`);
        assert.deepEqual(outcome.written, whole.subarray(0, outcome.written.length));
        assert.ok(ends.includes(outcome.written.length), `${call}, call ${at}: ${outcome.written.length} bytes were written`);
      });
    });
  });
}
