import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { exchange, publicOf } from '../testing/mini.ts';
import { KeyPair } from './x25519.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');

const exchanged = (privateKey: Uint8Array, peer: Uint8Array): Buffer | undefined => {
  const pair = new KeyPair(privateKey);
  try {
    return pair.exchange(peer);
  } finally {
    pair.free();
  }
};

describe('X25519', () => {
  // RFC 7748 §6.1.
  const alice = bytes('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a');
  const bob = bytes('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
  const alicePublic = bytes('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
  const bobPublic = bytes('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
  const shared = bytes('4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');

  it('agrees with RFC 7748 §6.1', () => {
    for (const [own, ownPublic, peer] of [
      [alice, alicePublic, bobPublic],
      [bob, bobPublic, alicePublic],
    ] as const) {
      const pair = new KeyPair(own);
      assert.deepEqual(pair.publicKey, ownPublic);
      assert.deepEqual(pair.exchange(peer), shared);
      pair.free();
    }
  });

  // RFC 7748 §5.2, a point that is not a multiple of the base point among them, with the ignored top bit set.
  it('agrees with RFC 7748 §5.2', () => {
    assert.deepEqual(
      exchanged(
        bytes('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'),
        bytes('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c'),
      ),
      bytes('c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552'),
    );
    assert.deepEqual(
      exchanged(
        bytes('4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d'),
        bytes('e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493'),
      ),
      bytes('95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957'),
    );
  });

  it('agrees with node:crypto for random keys, each pair different', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (own) => {
        const pair = new KeyPair();
        seen.add(pair.publicKey.toString('hex'));
        assert.deepEqual(pair.exchange(publicOf(own)), exchange(own, pair.publicKey));
        pair.free();
      }),
      { numRuns: 20 },
    );
    assert.equal(seen.size, 20);
  });

  // Every point of order 1, 2, 4 and 8 on the curve and its twist, and the encodings of them that are not reduced.
  for (const point of [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '0000000000000000000000000000000000000000000000000000000000000080',
  ]) {
    it(`refuses the low-order point ${point.slice(0, 8)}…${point.slice(-2)}`, () => {
      assert.equal(exchanged(alice, bytes(point)), undefined);
    });
  }

  it('does nothing once it is freed, and is freed twice without harm', () => {
    const pair = new KeyPair();
    pair.free();
    pair.free();
    assert.throws(() => pair.exchange(alicePublic), /freed/);
  });

  it('refuses a public key of another length', () => {
    assert.throws(() => exchanged(alice, Buffer.alloc(31, 9)), RangeError);
  });
});
