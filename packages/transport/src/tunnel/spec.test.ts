import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { contextHash } from '../keys/context.ts';
import { testAttempt } from '../testing/pair.ts';
import { makeSpec, maxConnections, parseSpec } from './spec.ts';

const inAnHour = () => Date.now() + 3_600_000;
const fieldsOf = (document: Buffer): Record<string, unknown> => JSON.parse(document.toString());
const documentOf = (fields: Record<string, unknown>): Buffer => Buffer.from(JSON.stringify(fields));

describe('the spec of a tunnel', () => {
  it('comes back as it was made, and is wiped by reading it', () => {
    for (const suite of ['aes-256-gcm', 'none'] as const) {
      const expiresAt = inAnHour();
      const document = makeSpec(suite, 5, expiresAt);
      const { key: digits, nonce, migration } = fieldsOf(document);
      const { attempt, key } = parseSpec(document);
      assert.equal(Buffer.from(key).toString('hex'), digits);
      assert.equal(Buffer.from(attempt.nonce).toString('hex'), nonce);
      assert.equal(attempt.migration, migration);
      assert.equal(attempt.suite, suite);
      assert.equal(attempt.channels, 6);
      assert.equal(attempt.expiresAt, expiresAt);
      assert.ok(document.every((byte) => byte === 0));
      contextHash(attempt);
    }
  });

  it('never has a key, a nonce or an id twice', () => {
    const [a, b] = [fieldsOf(makeSpec('aes-256-gcm', 1, inAnHour())), fieldsOf(makeSpec('aes-256-gcm', 1, inAnHour()))];
    for (const field of ['key', 'nonce', 'migration']) assert.notEqual(a[field], b[field]);
    assert.notEqual(a['key'], '0'.repeat(64));
  });

  it("gives another context than an agent's spec of the same fields", () => {
    const { attempt } = parseSpec(makeSpec('aes-256-gcm', 3, inAnHour()));
    const { migration, nonce, channels, limits, expiresAt } = attempt;
    assert.notDeepEqual(contextHash(attempt), contextHash(testAttempt({ migration, nonce, channels, limits, expiresAt })));
  });

  it('may be laid out otherwise', () => {
    const fields = fieldsOf(makeSpec('aes-256-gcm', maxConnections, inAnHour()));
    const turned = Object.fromEntries(Object.entries(fields).toReversed());
    assert.equal(Buffer.from(parseSpec(documentOf(turned)).key).toString('hex'), fields['key']);
    const spaced = JSON.stringify(fields).replace('"key":', '"key" \n : ');
    assert.equal(Buffer.from(parseSpec(Buffer.from(spaced)).key).toString('hex'), fields['key']);
  });

  it('is refused by the name of what is wrong, without quoting it', () => {
    const good = fieldsOf(makeSpec('aes-256-gcm', 3, inAnHour()));
    const wrong: Record<string, unknown[]> = {
      sealift: ['x', undefined],
      version: [2, '1', undefined],
      migration: ['', 'x'.repeat(36), 7],
      nonce: ['00', 'x'.repeat(16), undefined],
      suite: ['aes-128-gcm', undefined],
      channels: [1, 257, 2.5, '3', undefined],
      expiresAt: ['soon', 5, undefined],
      key: ['00', 'A'.repeat(64), `${'0'.repeat(64)}0`, 5, null, undefined],
      extra: [1],
    };
    for (const [field, values] of Object.entries(wrong)) {
      for (const value of values) {
        const document = documentOf({ ...good, [field]: value });
        assert.throws(() => parseSpec(document), { name: 'TunnelError', code: 'usage', message: new RegExp(field) });
        assert.ok(document.every((byte) => byte === 0));
      }
    }
  });

  it('is refused with two keys, as something else than JSON, and cut short anywhere', () => {
    const document = makeSpec('aes-256-gcm', 3, inAnHour());
    const twice = document.toString().replace('{', `{"key":"${'1'.repeat(64)}",`);
    assert.throws(() => parseSpec(Buffer.from(twice)), { code: 'usage' });
    for (let length = 0; length < document.length - 2; length++) {
      assert.throws(() => parseSpec(Buffer.from(document.subarray(0, length))), { code: 'usage' });
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.throws(() => parseSpec(bytes), { name: 'TunnelError' });
      }),
    );
  });

  it('does not repeat the key where it is not JSON otherwise', () => {
    const key = randomBytes(32).toString('hex');
    assert.throws(
      () => parseSpec(Buffer.from(`{"key":"${key}" nonsense`)),
      (error: Error) => !error.message.includes(key.slice(0, 8)) && error.cause === undefined,
    );
  });
});
