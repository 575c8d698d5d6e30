import assert from 'node:assert/strict';
import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { exchange, publicOf } from '../testing/mini.ts';
import { type Attempt, contextHash } from './context.ts';
import { KeyUnwrapper, type WrappedKey } from './unwrap.ts';

/** What the manager does, from docs/protocol.md "key wrap". */
function wrap(key: Uint8Array, agentPublic: Uint8Array, context: Uint8Array): WrappedKey {
  const own = randomBytes(32);
  const ephemeral = publicOf(own);
  const info = Buffer.concat([Buffer.from('sealift/1 key wrap\0'), ephemeral, agentPublic, context]);
  const keys = Buffer.from(hkdfSync('sha256', exchange(own, agentPublic), Buffer.alloc(0), info, 44));
  const cipher = createCipheriv('aes-256-gcm', keys.subarray(0, 32), keys.subarray(32));
  cipher.setAAD(context);
  return { ephemeral, sealed: Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()]) };
}

const context = randomBytes(32);
const key = randomBytes(32);
const refused = { name: 'TransportError', code: 'hello' };

describe('unwrapping a spec key', () => {
  it('gives the key that was wrapped', () => {
    const unwrapper = new KeyUnwrapper();
    assert.deepEqual(unwrapper.unwrap(wrap(key, unwrapper.publicKey, context), context), key);
  });

  it('works once', () => {
    const unwrapper = new KeyUnwrapper();
    const wrapped = wrap(key, unwrapper.publicKey, context);
    unwrapper.unwrap(wrapped, context);
    assert.throws(() => unwrapper.unwrap(wrapped, context), /freed/);
    unwrapper.free();
  });

  it('works once even where it was refused', () => {
    const unwrapper = new KeyUnwrapper();
    const wrapped = wrap(key, unwrapper.publicKey, context);
    assert.throws(() => unwrapper.unwrap(wrapped, randomBytes(32)), refused);
    assert.throws(() => unwrapper.unwrap(wrapped, context), /freed/);
  });

  it('refuses a key that was wrapped for another agent', () => {
    const wrapped = wrap(key, publicOf(randomBytes(32)), context);
    assert.throws(() => new KeyUnwrapper().unwrap(wrapped, context), refused);
  });

  it('refuses every changed bit', () => {
    const own = randomBytes(32);
    const wrapped = wrap(key, publicOf(own), context);
    for (const field of ['ephemeral', 'sealed'] as const) {
      for (let bit = 0; bit < wrapped[field].length * 8; bit++) {
        const changed = Buffer.from(wrapped[field]);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        assert.throws(() => new KeyUnwrapper(own).unwrap({ ...wrapped, [field]: changed }, context), refused, `${field}, bit ${bit}`);
      }
    }
  });

  for (const [name, change] of Object.entries({
    'a low-order ephemeral': { ephemeral: Buffer.alloc(32) },
    'a short ephemeral': { ephemeral: Buffer.alloc(31, 9) },
    'a short sealed key': { sealed: Buffer.alloc(47) },
    'a long sealed key': { sealed: Buffer.alloc(49) },
  })) {
    it(`refuses ${name}`, () => {
      const unwrapper = new KeyUnwrapper();
      assert.throws(() => unwrapper.unwrap({ ...wrap(key, unwrapper.publicKey, context), ...change }, context), refused);
    });
  }
});

interface ManagerVector {
  readonly name: string;
  readonly spec: Omit<Attempt, 'nonce' | 'sourceKeyHash' | 'destinationKeyHash'> & {
    readonly nonce: string;
    readonly source: { readonly keyHash: string };
    readonly destination: { readonly keyHash: string };
  };
  readonly context: string;
  readonly key: string;
  readonly agentPrivateKey: string;
  readonly agentPublicKey: string;
  readonly wrapped: { readonly ephemeral: string; readonly sealed: string };
}

describe("the manager's vectors", () => {
  // Read, not imported: the transport depends on nothing of ours, and the two ends must agree all the same.
  const file = new URL('../../../manager/src/migrations/spec/vectors/wrap.json', import.meta.url);
  const { vectors }: { vectors: ManagerVector[] } = JSON.parse(readFileSync(file, 'utf8'));
  for (const { name, spec, wrapped, ...vector } of vectors) {
    it(`open here: ${name}`, () => {
      const attempt: Attempt = {
        ...spec,
        nonce: Buffer.from(spec.nonce, 'base64url'),
        sourceKeyHash: Buffer.from(spec.source.keyHash, 'hex'),
        destinationKeyHash: Buffer.from(spec.destination.keyHash, 'hex'),
      };
      assert.equal(contextHash(attempt).toString('hex'), vector.context);
      const unwrapper = new KeyUnwrapper(Buffer.from(vector.agentPrivateKey, 'hex'));
      assert.equal(unwrapper.publicKey.toString('hex'), vector.agentPublicKey);
      const bytes = { ephemeral: Buffer.from(wrapped.ephemeral, 'base64url'), sealed: Buffer.from(wrapped.sealed, 'base64url') };
      assert.equal(unwrapper.unwrap(bytes, Buffer.from(vector.context, 'hex')).toString('hex'), vector.key);
    });
  }
});
