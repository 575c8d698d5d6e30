import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Aead } from './evp.ts';
import { allocate, freeMemory } from './memory.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const room = 4096;

/** Places of aad, input, output and tag in native memory. */
function work<T>(act: (at: { aad: number; input: number; output: number; tag: number }, view: Uint8Array) => T): T {
  const memory = allocate(4 * room);
  const { address } = memory;
  try {
    return act({ aad: address, input: address + room, output: address + 2 * room, tag: address + 3 * room }, memory.bytes);
  } finally {
    freeMemory(memory);
  }
}

function seal(aead: Aead, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): { sealed: Buffer; tag: Buffer } {
  return work((at, view) => {
    view.set(aad, 0);
    view.set(plain, room);
    aead.nonce.set(nonce);
    aead.seal(at.aad, aad.length, at.input, at.output, plain.length, at.tag);
    return {
      sealed: Buffer.from(view.subarray(2 * room, 2 * room + plain.length)),
      tag: Buffer.from(view.subarray(3 * room, 3 * room + 16)),
    };
  });
}

function open(aead: Aead, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array, tag: Uint8Array): Buffer | undefined {
  return work((at, view) => {
    view.set(aad, 0);
    view.set(sealed, room);
    view.set(tag, 3 * room);
    aead.nonce.set(nonce);
    if (!aead.open(at.aad, aad.length, at.input, at.output, sealed.length, at.tag)) return undefined;
    return Buffer.from(view.subarray(2 * room, 2 * room + sealed.length));
  });
}

const flipped = (of: Uint8Array, bit: number): Buffer => {
  const copy = Buffer.from(of);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
};

const feff = 'feffe9928665731c6d6a8f9467308308'.repeat(2);
const plain64 =
  'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255';
const sealed64 =
  '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad';

// The GCM specification (McGrew, Viega), appendix B: the AES-256 cases with a nonce of 96 bits.
const cases = [
  { name: '13', key: '00'.repeat(32), nonce: '00'.repeat(12), aad: '', plain: '', sealed: '', tag: '530f8afbc74536b9a963b4f1c4cb738b' },
  {
    name: '14',
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    aad: '',
    plain: '00'.repeat(16),
    sealed: 'cea7403d4d606b6e074ec5d3baf39d18',
    tag: 'd0d1c8a799996bf0265b98b5d48ab919',
  },
  {
    name: '15',
    key: feff,
    nonce: 'cafebabefacedbaddecaf888',
    aad: '',
    plain: plain64,
    sealed: sealed64,
    tag: 'b094dac5d93471bdec1a502270e3cc6c',
  },
  {
    name: '16',
    key: feff,
    nonce: 'cafebabefacedbaddecaf888',
    aad: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plain: plain64.slice(0, 120),
    sealed: sealed64.slice(0, 120),
    tag: '76fc6ece0f4e1768cddf8853bb2d551b',
  },
];

describe('AES-256-GCM', () => {
  for (const { name, key, nonce, aad, plain, sealed, tag } of cases) {
    it(`agrees with test case ${name} of the GCM specification, both ways`, () => {
      const [sealing, opening] = [new Aead(bytes(key), 'seal'), new Aead(bytes(key), 'open')];
      const made = seal(sealing, bytes(nonce), bytes(aad), bytes(plain));
      assert.equal(made.sealed.toString('hex'), sealed);
      assert.equal(made.tag.toString('hex'), tag);
      assert.deepEqual(open(opening, bytes(nonce), bytes(aad), bytes(sealed), bytes(tag)), bytes(plain));
      sealing.free();
      opening.free();
    });
  }

  it('refuses every single bit changed in nonce, AAD, ciphertext and tag, and then still opens the true one', () => {
    const [, , , last] = cases;
    assert.ok(last);
    const opening = new Aead(bytes(last.key), 'open');
    const parts = [last.nonce, last.aad, last.sealed, last.tag].map(bytes);
    parts.forEach((part, which) => {
      for (let bit = 0; bit < part.length * 8; bit++) {
        const [nonce, aad, sealed, tag] = parts.map((each, i) => (i === which ? flipped(each, bit) : each));
        assert.ok(nonce && aad && sealed && tag);
        assert.equal(open(opening, nonce, aad, sealed, tag), undefined, `part ${which}, bit ${bit}`);
      }
    });
    const [nonce, aad, sealed, tag] = parts;
    assert.ok(nonce && aad && sealed && tag);
    assert.deepEqual(open(opening, nonce, aad, sealed, tag), bytes(last.plain));
    opening.free();
  });

  it('agrees with node:crypto at any length, with one context for many records', () => {
    const key = Buffer.alloc(32, 7);
    const [sealing, opening] = [new Aead(key, 'seal'), new Aead(key, 'open')];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(), (plain, aad, counter) => {
        const nonce = Buffer.alloc(12);
        nonce.writeUInt32BE(counter, 8);
        const cipher = createCipheriv('aes-256-gcm', key, nonce);
        cipher.setAAD(aad);
        const expected = { sealed: Buffer.concat([cipher.update(plain), cipher.final()]), tag: cipher.getAuthTag() };
        assert.deepEqual(seal(sealing, nonce, aad, plain), expected);
        assert.deepEqual(open(opening, nonce, aad, expected.sealed, expected.tag), Buffer.from(plain));
      }),
    );
    sealing.free();
    opening.free();
  });

  it('opens with the new key only after rekeying', () => {
    const [first, second] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const nonce = Buffer.alloc(12);
    const sealing = new Aead(first, 'seal');
    const opening = new Aead(first, 'open');
    const old = seal(sealing, nonce, Buffer.from('a'), Buffer.from('old'));
    sealing.rekey(second);
    opening.rekey(second);
    const fresh = seal(sealing, nonce, Buffer.from('a'), Buffer.from('new'));
    assert.equal(open(opening, nonce, Buffer.from('a'), old.sealed, old.tag), undefined);
    assert.deepEqual(open(opening, nonce, Buffer.from('a'), fresh.sealed, fresh.tag), Buffer.from('new'));
    sealing.free();
    opening.free();
  });

  it('refuses a key of another length, and is freed twice without harm', () => {
    assert.throws(() => new Aead(Buffer.alloc(16), 'seal'), RangeError);
    const aead = new Aead(Buffer.alloc(32), 'seal');
    aead.free();
    aead.free();
  });
});
