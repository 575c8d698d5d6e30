/** What is not the true stream is refused with the right code, and nothing of it reaches the local socket. docs/protocol.md "what every wrong input comes to". */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { recordType } from '../constants.ts';
import type { FailureCode } from '../errors.ts';
import { InboundBench } from '../testing/inbound-bench.ts';
import { closePayload, MiniDirection, uint } from '../testing/mini.ts';

const first = Buffer.from('the first record is true');
const second = Buffer.from('and the second is not what it was');

/** The code with which the bench fails, or what else became of it. */
function outcome(act: () => void): FailureCode | 'nothing' {
  try {
    act();
    return 'nothing';
  } catch (error) {
    assert.ok(error instanceof Error && 'code' in error);
    return error.code as FailureCode; // only TransportError has a code here; asserted against the set by every caller
  }
}

const flipped = (record: Buffer, bit: number): Buffer => {
  const copy = Buffer.from(record);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
};

const lengthField = { from: 32, to: 64 };

for (const suite of ['aes-256-gcm', 'none'] as const) {
  describe(`a changed bit, suite ${suite}`, () => {
    const bits = (16 + second.length + 16) * 8;
    const clearPayload = (bit: number) => suite === 'none' && bit >= 128 && bit < 128 + second.length * 8;

    it('anywhere in header, payload or tag lets nothing of the record out', () => {
      for (let bit = 0; bit < bits; bit++) {
        using bench = new InboundBench({ suite });
        bench.feed(bench.data(first));
        const tampered = flipped(bench.data(second), bit);
        const found = outcome(() => {
          bench.feed(tampered);
          if (clearPayload(bit)) return;
          // A length that grew awaits more: what follows fills it, or the stream ends.
          for (let i = 0; i < 3; i++) bench.feed(bench.data(randomBytes(200)));
          bench.end();
        });
        if (clearPayload(bit)) {
          // Suite `none` does not notice; that is what it is.
          assert.equal(found, 'nothing');
          continue;
        }
        if (bit >= lengthField.from && bit < lengthField.to) assert.ok(found === 'record' || found === 'truncated', `bit ${bit}: ${found}`);
        else assert.equal(found, 'record', `bit ${bit}`);
        assert.deepEqual(bench.written, first, `bit ${bit}`);
      }
    });

    it('in CLOSE lets the direction not end', () => {
      for (let bit = 0; bit < (16 + 16 + 16) * 8; bit++) {
        using bench = new InboundBench({ suite });
        bench.feed(bench.data(first));
        assert.ok(!bench.inbound.delivered);
        const close = flipped(bench.peer.seal(recordType.close, 1, closePayload(1, first.length)), bit);
        const found = outcome(() => {
          bench.feed(close);
          bench.end();
        });
        assert.ok(found === 'record' || (found === 'truncated' && bit >= lengthField.from && bit < lengthField.to), `bit ${bit}: ${found}`);
        assert.ok(!bench.inbound.delivered);
      }
    });
  });

  describe(`a record in the wrong place, suite ${suite}`, () => {
    const cases: Record<string, (bench: InboundBench) => Buffer[]> = {
      repeated: (bench) => {
        const one = bench.data(first);
        return [one, one];
      },
      'left out': (bench) => {
        const one = bench.data(first);
        bench.data(second);
        return [one, bench.data(second)];
      },
      'moved forward': (bench) => {
        const one = bench.data(first);
        const [two, three] = [bench.data(second), bench.data(second)];
        return [one, three, two];
      },
      'renumbered to fit': (bench) => {
        const one = bench.data(first);
        const later = Buffer.from(bench.peer.seal(recordType.data, 1, second, { sequence: 5 }));
        uint(1, 8).copy(later, 8);
        return [one, later];
      },
      'of another channel': (bench) => [bench.data(first), bench.peer.seal(recordType.data, 2, second)],
      'of another attempt': (bench) => [
        bench.data(first),
        new MiniDirection(randomBytes(32), { start: 1, suite }).seal(recordType.data, 1, second),
      ],
    };
    for (const [name, make] of Object.entries(cases)) {
      it(`is refused: ${name}`, () => {
        using bench = new InboundBench({ suite });
        const records = make(bench);
        assert.throws(
          () => {
            for (const record of records) bench.feed(record);
          },
          { code: 'record' },
        );
        assert.deepEqual(bench.written, first);
      });
    }
  });

  describe(`a stream that is cut off, suite ${suite}`, () => {
    it('is truncated at every byte before the end of CLOSE, and gives out whole records only', () => {
      const ends = [32 + first.length, 64 + first.length + second.length];
      const length = 64 + first.length + second.length + 48;
      for (let cut = 0; cut <= length; cut++) {
        using bench = new InboundBench({ suite });
        const stream = Buffer.concat([
          bench.data(first),
          bench.data(second),
          bench.peer.seal(recordType.close, 1, closePayload(2, first.length + second.length)),
        ]);
        assert.equal(stream.length, length);
        const found = outcome(() => {
          bench.feed(stream.subarray(0, cut));
          bench.end();
        });
        assert.equal(found, cut === length ? 'nothing' : 'truncated', `after ${cut} bytes`);
        assert.equal(bench.inbound.delivered, cut === length);
        const whole = [first, second].filter((_, i) => cut >= (ends[i] ?? 0));
        assert.deepEqual(bench.written, Buffer.concat(whole));
      }
    });
  });

  describe(`CLOSE, suite ${suite}`, () => {
    const closed = (records: number, bytes: number) => {
      using bench = new InboundBench({ suite });
      bench.feed(bench.data(first));
      const found = outcome(() => bench.feed(bench.peer.seal(recordType.close, 1, closePayload(records, bytes))));
      assert.equal(bench.inbound.delivered, found === 'nothing');
      return found;
    };

    it('has to say what arrived', () => {
      assert.equal(closed(1, first.length), 'nothing');
      for (const records of [0, 2, 2 ** 40]) assert.equal(closed(records, first.length), 'totals');
      for (const bytes of [0, first.length - 1, first.length + 1, 2 ** 53 - 1]) assert.equal(closed(1, bytes), 'totals');
    });

    it('is the last of its direction: a byte or a record after it is refused, together with it or later', () => {
      const after: Record<string, (bench: InboundBench) => Buffer> = {
        'a byte': () => Buffer.of(0),
        'fifteen bytes': () => randomBytes(15),
        'a true record': (bench) => bench.data(second),
        'CLOSE again': (bench) => bench.peer.seal(recordType.close, 1, closePayload(1, first.length)),
      };
      for (const [name, make] of Object.entries(after)) {
        for (const together of [true, false]) {
          using bench = new InboundBench({ suite });
          const stream = [bench.data(first), bench.peer.seal(recordType.close, 1, closePayload(1, first.length))];
          const more = make(bench);
          const found = outcome(() => {
            if (together) bench.feed(Buffer.concat([...stream, more]));
            else for (const part of [...stream, more]) bench.feed(part);
          });
          assert.equal(found, 'record', name);
          assert.deepEqual(bench.written, first);
        }
      }
    });
  });
}

describe('a record that is true but not allowed', () => {
  const refuses = (channel: number, type: number, length: number) => {
    using bench = new InboundBench({ channel, channels: 4 });
    const record = bench.peer.seal(type, channel, Buffer.alloc(length));
    const found = outcome(() => bench.feed(record.subarray(0, 16)));
    assert.deepEqual([bench.written.length, bench.control.length], [0, 0]);
    return found === 'record';
  };

  it('is refused on its header alone: every unknown type, on control and data channels', () => {
    const known: readonly number[] = Object.values(recordType);
    for (let type = 0; type < 256; type++) {
      if (known.includes(type)) continue;
      assert.ok(refuses(0, type, 0) && refuses(1, type, 0), `type ${type}`);
    }
  });

  it('is refused: control records on a data channel, DATA on the control channel, CONFIRM after the hello', () => {
    assert.ok(refuses(1, recordType.ping, 48));
    assert.ok(refuses(1, recordType.grant, 50));
    assert.ok(refuses(1, recordType.running, 0));
    assert.ok(refuses(1, recordType.aborted, 0));
    assert.ok(refuses(0, recordType.data, 5));
    assert.ok(refuses(0, recordType.confirm, 0));
    assert.ok(refuses(1, recordType.confirm, 0));
  });

  it('is refused: lengths that are not the type’s own', () => {
    assert.ok(refuses(1, recordType.data, 0));
    assert.ok(refuses(1, recordType.close, 15) && refuses(1, recordType.close, 17) && refuses(0, recordType.close, 0));
    assert.ok(refuses(0, recordType.ping, 40) && refuses(0, recordType.ping, 56));
    assert.ok(refuses(0, recordType.grant, 49) && refuses(0, recordType.grant, 51));
    assert.ok(refuses(0, recordType.running, 1) && refuses(0, recordType.aborted, 1));
  });

  it('is refused: a header whose second byte is not zero, though its tag is right', () => {
    using bench = new InboundBench();
    const header = Buffer.concat([uint(recordType.data, 1), uint(1, 1), uint(1, 2), uint(1, 4), uint(0, 8)]);
    assert.throws(() => bench.feed(bench.peer.seal(recordType.data, 1, Buffer.of(1), { header, sequence: 0 })), { code: 'record' });
  });
});
