import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { equal, expand, extract, wipe } from './hkdf.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');

describe('HKDF', () => {
  // RFC 5869, appendix A: the PRK whole, and as much of the output as one block gives.
  it('extracts and expands as RFC 5869 test case 1 says', () => {
    const prk = extract(bytes('000102030405060708090a0b0c'), Buffer.alloc(22, 0x0b));
    assert.equal(prk.toString('hex'), '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5');
    const info = bytes('f0f1f2f3f4f5f6f7f8f9').toString('latin1');
    assert.equal(expand(prk, info).toString('hex'), '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf');
    assert.equal(expand(prk, info, undefined, 12).toString('hex'), '3cb25f25faacd57a90434f64');
  });

  it('takes an empty salt as RFC 5869 test case 3 says', () => {
    const prk = extract(new Uint8Array(0), Buffer.alloc(22, 0x0b));
    assert.equal(prk.toString('hex'), '19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04');
    assert.equal(expand(prk, '').toString('hex'), '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d');
  });

  it('agrees with node:crypto for any input', () => {
    const some = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(some, some, some, fc.integer({ min: 1, max: 32 }), (salt, key, context, length) => {
        const expected = Buffer.from(hkdfSync('sha256', key, salt, Buffer.concat([Buffer.from('label'), context]), length));
        assert.deepEqual(expand(extract(salt, key), 'label', context, length), expected);
      }),
    );
  });

  it('refuses more than one block', () => {
    assert.throws(() => expand(Buffer.alloc(32), 'x', undefined, 33), RangeError);
  });
});

describe('equal and wipe', () => {
  it('compares content and length', () => {
    assert.ok(equal(Buffer.from('same'), Buffer.from('same')));
    assert.ok(!equal(Buffer.from('same'), Buffer.from('sama')));
    assert.ok(!equal(Buffer.from('same'), Buffer.from('same ')));
  });

  it('overwrites every one it is given', () => {
    const [a, b] = [Buffer.alloc(32, 1), Buffer.alloc(12, 2)];
    wipe(a, undefined, b);
    assert.deepEqual([a, b], [Buffer.alloc(32), Buffer.alloc(12)]);
  });
});
