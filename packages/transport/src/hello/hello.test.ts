import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { confirmBytes, m1Bytes, m2Bytes } from '../constants.ts';
import { contextHash } from '../keys/context.ts';
import { type HelloKeys, helloKeys } from '../keys/schedule.ts';
import { testAttempt } from '../testing/pair.ts';
import { DestinationHello, SourceHello } from './hello.ts';
import { decodeM1, m1IsAuthentic } from './messages.ts';

const attempt = testAttempt();
const key = randomBytes(32);
const context = contextHash(attempt);
const keys = helloKeys(key, attempt.nonce, context);
const channel = 3;
const identity = { version: 1, migration: attempt.migration, attempt: attempt.attempt, channel };

interface Side {
  readonly keys: HelloKeys;
  readonly context: Buffer;
}
const same: Side = { keys, context };

/** A whole hello with what a test makes of its messages; both ends' secrets where it came through. */
function hello(
  tamper: { m1?: (m: Buffer) => Buffer; m2?: (m: Buffer) => Buffer; confirm?: (m: Buffer) => Buffer } = {},
  { source = same, destination = same, expects = channel }: { source?: Side; destination?: Side; expects?: number } = {},
) {
  const near = new SourceHello(identity, source.keys, source.context);
  let far: DestinationHello | undefined;
  try {
    const m1 = (tamper.m1 ?? plain)(Buffer.from(near.begin()));
    const fields = decodeM1(m1);
    if (!m1IsAuthentic(m1, destination.keys.hello)) return 'M1 refused';
    far = DestinationHello.answering(m1, fields.ephemeral, expects, destination.keys, destination.context);
    if (!far) return 'M1 refused';
    const finished = near.finish((tamper.m2 ?? plain)(Buffer.from(far.answer)));
    if (!finished) return 'M2 refused';
    const secrets = far.finish((tamper.confirm ?? plain)(Buffer.from(finished.confirm)));
    if (!secrets) return 'CONFIRM refused';
    return { source: finished.secrets, destination: secrets };
  } finally {
    near.free();
    far?.free();
  }
}

const plain = (message: Buffer): Buffer => message;
const flip =
  (bit: number) =>
  (message: Buffer): Buffer => {
    message[bit >> 3] = (message[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return message;
  };

describe('a hello', () => {
  it('gives both sides the same secrets, one for each direction', () => {
    const done = hello();
    assert.ok(typeof done === 'object');
    assert.deepEqual(done.source.sourceToDestination, done.destination.sourceToDestination);
    assert.deepEqual(done.source.destinationToSource, done.destination.destinationToSource);
    assert.notDeepEqual(done.source.sourceToDestination, done.source.destinationToSource);
  });

  it('gives other secrets each time', () => {
    const secrets = [hello(), hello()].map((done) =>
      typeof done === 'object' ? Buffer.from(done.source.sourceToDestination) : Buffer.alloc(0),
    );
    assert.notDeepEqual(secrets[0], secrets[1]);
  });

  it('refuses an M1 with any bit changed', () => {
    for (let bit = 0; bit < m1Bytes * 8; bit++) assert.equal(hello({ m1: flip(bit) }), 'M1 refused', `bit ${bit}`);
  });

  it('refuses an M2 with any bit changed', () => {
    for (let bit = 0; bit < m2Bytes * 8; bit++) assert.equal(hello({ m2: flip(bit) }), 'M2 refused', `bit ${bit}`);
  });

  it('refuses a CONFIRM with any bit changed', () => {
    for (let bit = 0; bit < confirmBytes * 8; bit++) assert.equal(hello({ confirm: flip(bit) }), 'CONFIRM refused', `bit ${bit}`);
  });

  it('refuses an M2 with a low-order key, and one from another connection', () => {
    assert.equal(hello({ m2: (m2) => Buffer.concat([Buffer.alloc(32), m2.subarray(32)]) }), 'M2 refused');
    let recorded = Buffer.alloc(0);
    hello({
      m2: (m2) => {
        recorded = Buffer.from(m2);
        return m2;
      },
    });
    assert.equal(hello({ m2: () => recorded }), 'M2 refused');
  });

  it('refuses a CONFIRM from another connection', () => {
    let recorded = Buffer.alloc(0);
    hello({
      confirm: (confirm) => {
        recorded = Buffer.from(confirm);
        return confirm;
      },
    });
    assert.equal(hello({ confirm: () => recorded }), 'CONFIRM refused');
  });

  it('does not begin between sides with different keys, nonces or contexts', () => {
    const other = (changes: Partial<typeof attempt>, withKey = key): Side => {
      const changed = { ...attempt, ...changes };
      const ctx = contextHash(changed);
      return { keys: helloKeys(withKey, changed.nonce, ctx), context: ctx };
    };
    for (const destination of [
      other({}, randomBytes(32)),
      other({ nonce: randomBytes(8) }),
      other({ attempt: 2 }),
      other({ suite: 'none' }),
    ]) {
      assert.equal(hello({}, { destination }), 'M1 refused');
    }
  });

  it('needs the context in the transcript too, not only in the keys', () => {
    assert.equal(hello({}, { destination: { keys, context: randomBytes(32) } }), 'M2 refused');
  });

  it('refuses a CONFIRM for another channel than the destination has in mind', () => {
    assert.equal(hello({}, { expects: 2 }), 'CONFIRM refused');
  });

  it('refuses a low-order key of a source that knows the spec key', () => {
    assert.equal(DestinationHello.answering(Buffer.alloc(m1Bytes), Buffer.alloc(32), channel, keys, context), undefined);
  });

  it('leaves no secret in a destination that was never confirmed', () => {
    const near = new SourceHello(identity, keys, context);
    const m1 = near.begin();
    const far = DestinationHello.answering(m1, decodeM1(m1).ephemeral, channel, keys, context);
    const finished = far && near.finish(far.answer);
    assert.ok(finished);
    far.free();
    // Its secrets are zeros by now, so that even the true CONFIRM is not.
    assert.equal(far.finish(finished.confirm), undefined);
    near.free();
  });
});

describe('M1', () => {
  it('names the attempt and the channel', () => {
    const near = new SourceHello(identity, keys, context);
    const { version, migration, attempt: number, channel: index } = decodeM1(near.begin());
    near.free();
    assert.deepEqual([version, migration, number, index], [1, attempt.migration.replaceAll('-', ''), 1, channel]);
  });

  it('is read from exactly its bytes only', () => {
    for (const length of [0, m1Bytes - 1, m1Bytes + 1]) assert.throws(() => decodeM1(Buffer.alloc(length)), RangeError);
  });
});
