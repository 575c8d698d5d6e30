import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { MigrationSpec, WrappedKey } from '@sealift/contract';
import fc from 'fast-check';
import { migrationOf } from '../../testing/records.ts';
import { offerKey, unwrapKey } from '../../testing/unwrap.ts';
import { contextOf } from './context.ts';
import { wrapKey } from './wrap.ts';

interface Vector {
  name: string;
  spec: MigrationSpec;
  context: string;
  key: string;
  agentPrivateKey: string;
  agentPublicKey: string;
  ephemeralPrivateKey: string;
  wrapped: WrappedKey;
}

// The committed file, whose shape is that of Vector.
const { vectors } = JSON.parse(readFileSync(new URL('./vectors/wrap.json', import.meta.url), 'utf8')) as { vectors: Vector[] };
const hex = (text: string) => Buffer.from(text, 'hex');

describe('context and key wrap', () => {
  for (const vector of vectors) {
    it(`vector: ${vector.name}`, () => {
      const context = contextOf(vector.spec);
      assert.equal(context.toString('hex'), vector.context);
      const fixed = (into: Buffer) => void hex(vector.ephemeralPrivateKey).copy(into);
      assert.deepEqual(wrapKey(hex(vector.key), hex(vector.agentPublicKey), context, fixed), vector.wrapped);

      const der = Buffer.concat([hex('302e020100300506032b656e04220420'), hex(vector.agentPrivateKey)]);
      const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
      const unwrapped = unwrapKey(vector.wrapped, { privateKey, publicKey: hex(vector.agentPublicKey) }, context);
      assert.equal(unwrapped.toString('hex'), vector.key);
    });
  }

  it('wraps differently each time, opens to the same key, and leaves the caller its key', () => {
    const key = randomBytes(32);
    const before = Buffer.from(key);
    const offered = offerKey();
    const context = randomBytes(32);
    const first = wrapKey(key, offered.publicKey, context);
    const second = wrapKey(key, offered.publicKey, context);
    assert.notDeepEqual(first, second);
    assert.deepEqual(unwrapKey(first, offered, context), before);
    assert.deepEqual(unwrapKey(second, offered, context), before);
    assert.deepEqual(key, before);
  });

  it('opens for no other agent, under no other context, and not when a bit was changed', () => {
    const key = randomBytes(32);
    const offered = offerKey();
    const context = randomBytes(32);
    const wrapped = wrapKey(key, offered.publicKey, context);
    assert.throws(() => unwrapKey(wrapped, offerKey(), context));
    assert.throws(() => unwrapKey(wrapped, offered, randomBytes(32)));
    fc.assert(
      fc.property(fc.constantFrom('ephemeral', 'sealed'), fc.nat({ max: 47 }), fc.nat({ max: 7 }), (field, byte, bit) => {
        const bytes = Buffer.from(wrapped[field], 'base64url');
        const at = byte % bytes.length;
        // X25519 ignores the top bit of a public key (RFC 7748 §5); HKDF's info does not, so that change is seen as well.
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        assert.throws(() => unwrapKey({ ...wrapped, [field]: bytes.toString('base64url') }, offered, context));
      }),
      { numRuns: 60 },
    );
  });

  it('refuses wrong lengths and a public key of small order', () => {
    const good = randomBytes(32);
    assert.throws(() => wrapKey(randomBytes(31), offerKey().publicKey, good), /key: 31 bytes/);
    assert.throws(() => wrapKey(good, randomBytes(33), good), /agentPublicKey: 33 bytes/);
    assert.throws(() => wrapKey(good, offerKey().publicKey, Buffer.alloc(0)), /context: 0 bytes/);
    assert.throws(() => wrapKey(good, Buffer.alloc(32), good));
  });

  it('every field of the spec but the names changes the context', () => {
    const { spec } = migrationOf('redis');
    const changes: Partial<MigrationSpec>[] = [
      { protocolVersion: 2 },
      { migration: migrationOf('redis').spec.migration },
      { attempt: 2 },
      { nonce: 'AAAAAAAAAAE' },
      { suite: 'none' },
      { source: spec.destination },
      { destination: spec.source },
      { channels: 5 },
      { limits: { ...spec.limits, bandwidthBytesPerSecond: 1 } },
      { limits: { ...spec.limits, downtimeMs: 31 } },
      { limits: { ...spec.limits, maxDowntimeMs: 301 } },
      { limits: { ...spec.limits, deadlineMs: 3_600_001 } },
      { limits: { ...spec.limits, maxThrottlePercent: 0 } },
      { limits: { ...spec.limits, postcopy: true } },
      { expiresAt: spec.expiresAt + 1 },
    ];
    const contexts = [spec, ...changes.map((change) => ({ ...spec, ...change }))].map((each) => contextOf(each).toString('hex'));
    assert.equal(new Set(contexts).size, contexts.length);
    const renamed = { ...spec, source: { ...spec.source, name: 'other' } };
    assert.deepEqual(contextOf(renamed), contextOf(spec));
  });

  it('refuses a nonce that is not 8 bytes', () => {
    assert.throws(() => contextOf({ ...migrationOf('redis').spec, nonce: 'AAAA' }), /nonce: 3 bytes/);
  });
});
