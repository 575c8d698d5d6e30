/**
 * Everything that looks at bytes of which nobody has shown yet where they come from, given a million random and mutated inputs: nothing but
 * the one right input gets anywhere, nothing throws what nobody expects, and nothing grows. The seed is fixed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { confirmBytes, m1Bytes, m2Bytes, maxDataBytes, recordType } from './constants.ts';
import { DestinationHello, SourceHello } from './hello/hello.ts';
import { decodeM1, decodeM2, m1IsAuthentic } from './hello/messages.ts';
import { contextHash, migrationId } from './keys/context.ts';
import { helloKeys } from './keys/schedule.ts';
import { lengthIsAllowed } from './record/control.ts';
import { type Header, readHeader, writeHeader } from './record/header.ts';
import { testAttempt } from './testing/pair.ts';

const seed = 20_261_122;

/** xorshift32: the same inputs in every run. */
function generator(from: number): (below: number) => number {
  let state = from;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Fills `out` with noise, or with the true bytes changed in one to four places. Never with the true bytes. */
function spoil(out: Buffer, true_: Uint8Array, random: (below: number) => number): void {
  if (random(4) === 0) {
    for (let i = 0; i < out.length; i++) out[i] = random(256);
    return;
  }
  out.set(true_);
  for (let i = random(4); i >= 0; i--) {
    const at = random(out.length);
    out[at] = (out[at] ?? 0) ^ (1 + random(255));
  }
  if (out.equals(true_)) out[0] = (out[0] ?? 0) ^ 1;
}

const attempt = testAttempt({ migration: '11111111-2222-4333-8444-555555555555', nonce: Buffer.alloc(8, 3) });
const key = createHash('sha256').update('a key').digest();
const context = contextHash(attempt);
const keys = helloKeys(key, attempt.nonce, context);
const identity = { version: 1, migration: attempt.migration, attempt: 1, channel: 1 };

/** Bytes that the process holds outside and inside the heap, after what can be freed is. */
const held = (): number => {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};
/** What garbage may lie about at any moment; a byte kept for each input would be half of it. */
const slackBytes = 64 * 1024 * 1024;

describe('bytes of strangers', { timeout: 120_000 }, () => {
  it('for M1: 300,000, of which none is authentic', () => {
    const random = generator(seed);
    const source = new SourceHello(identity, keys, context);
    const true_ = source.begin();
    const input = Buffer.alloc(m1Bytes);
    const before = held();
    for (let i = 0; i < 300_000; i++) {
      spoil(input, true_, random);
      const fields = decodeM1(input);
      assert.equal(fields.ephemeral.length, 32);
      assert.ok(fields.channel <= 0xffff && fields.attempt <= 0xffffffff && fields.version <= 0xff);
      // As the doorstep does: the MAC is looked at only where there is such an attempt. Here always for every eighth.
      const known = fields.migration === migrationId(attempt.migration).toString('hex') && fields.attempt === 1;
      if (known || i % 8 === 0) assert.ok(!m1IsAuthentic(input, keys.hello), input.toString('hex'));
    }
    assert.ok(m1IsAuthentic(true_, keys.hello));
    source.free();
    assert.ok(held() - before < slackBytes);
  });

  it('for M2: 300,000, of which 3,000 go through the whole of the source’s side, and none is taken', () => {
    const random = generator(seed + 1);
    const source = new SourceHello(identity, keys, context);
    const answering = DestinationHello.answering(source.begin(), decodeM1(source.begin()).ephemeral, 1, keys, context);
    assert.ok(answering);
    const input = Buffer.alloc(m2Bytes);
    const before = held();
    for (let i = 0; i < 300_000; i++) {
      spoil(input, answering.answer, random);
      const { ephemeral, confirmMac } = decodeM2(input);
      assert.equal(ephemeral.length + confirmMac.length, m2Bytes);
      if (i % 100 > 0) continue;
      // A hello is for one answer, and takes a fraction of a millisecond.
      using hello = disposable(new SourceHello(identity, keys, context));
      assert.equal(hello.finish(input), undefined);
    }
    assert.ok(source.finish(answering.answer));
    source.free();
    answering.free();
    assert.ok(held() - before < slackBytes);
  });

  it('for CONFIRM: 10,000, of which none claims a channel', () => {
    const random = generator(seed + 2);
    using source = disposable(new SourceHello(identity, keys, context));
    using destination = disposable(DestinationHello.answering(source.begin(), decodeM1(source.begin()).ephemeral, 1, keys, context));
    const right = source.finish(destination.answer);
    assert.ok(right);
    const input = Buffer.alloc(confirmBytes);
    for (let i = 0; i < 10_000; i++) {
      spoil(input, right.confirm, random);
      assert.equal(destination.finish(input), undefined);
    }
    assert.ok(destination.finish(right.confirm));
  });

  it('for headers: 400,000, of which none is let through with more than a record may hold', () => {
    const random = generator(seed + 3);
    const input = Buffer.alloc(16);
    const true_ = Buffer.alloc(16);
    const header: Header = { type: 0, zero: 0, channel: 0, length: 0, sequence: 0 };
    const types = Object.values(recordType);
    let allowed = 0;
    const before = held();
    for (let i = 0; i < 400_000; i++) {
      const channels = 2 + random(255);
      const channel = random(channels);
      writeHeader(true_, types[random(types.length)] ?? 0, channel, random(maxDataBytes * 2), random(2 ** 31));
      spoil(input, true_, random);
      readHeader(input, header);
      assert.ok(header.length >= 0 && header.length <= 0xffffffff && header.sequence >= 0);
      if (!lengthIsAllowed(header.type, header.length, channel, channels)) continue;
      allowed++;
      // The buffers of a channel are for one record of this size, and are there before the first header comes.
      assert.ok(header.length <= maxDataBytes, input.toString('hex'));
      assert.ok(header.type !== recordType.confirm);
    }
    assert.ok(allowed > 1000, 'hardly any header was let through: the check checks little');
    assert.ok(held() - before < slackBytes);
  });
});

/** For `using`: frees a hello whatever comes of the test. */
function disposable<T extends { free(): void }>(hello: T | undefined): T & Disposable {
  assert.ok(hello);
  return Object.assign(hello, { [Symbol.dispose]: () => hello.free() });
}
