/** Published vectors against the bindings in use. Where they come from: vectors/published/README.md. */
import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { expand, extract } from '../keys/hkdf.ts';
import { Aead } from './evp.ts';
import { allocate } from './memory.ts';
import { KeyPair } from './x25519.ts';

const read = (name: string): string => readFileSync(new URL(`../../vectors/published/${name}`, import.meta.url), 'utf8');
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');

interface AeadCase {
  readonly name: string;
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
  readonly valid: boolean;
}

const room = 4096;
const memory = allocate(4 * room);
const [aadAt, inAt, outAt, tagAt] = [0, 1, 2, 3].map((i) => memory.address + i * room) as [number, number, number, number]; // there are four

const place = (at: number, hex: string): void => memory.bytes.set(bytes(hex), at - memory.address);
const taken = (at: number, length: number): string =>
  Buffer.from(memory.bytes.subarray(at - memory.address, at - memory.address + length)).toString('hex');

function opens({ name, key, iv, aad, msg, ct, tag, valid }: AeadCase): void {
  const aead = new Aead(bytes(key), 'open');
  place(aadAt, aad);
  place(inAt, ct);
  place(tagAt, tag);
  aead.nonce.set(bytes(iv));
  const authentic = aead.open(aadAt, aad.length / 2, inAt, outAt, ct.length / 2, tagAt);
  aead.free();
  assert.equal(authentic, valid, name);
  if (valid) assert.equal(taken(outAt, msg.length / 2), msg, name);
}

/** @param exactly whether the tag is the true one; where not, it must come out otherwise */
function seals({ name, key, iv, aad, msg, ct, tag }: AeadCase, exactly: boolean): void {
  const aead = new Aead(bytes(key), 'seal');
  place(aadAt, aad);
  place(inAt, msg);
  aead.nonce.set(bytes(iv));
  aead.seal(aadAt, aad.length / 2, inAt, outAt, msg.length / 2, tagAt);
  aead.free();
  assert.equal(taken(outAt, ct.length / 2) === ct && taken(tagAt, 16) === tag, exactly, name);
}

/** NIST's form: `Name = value` lines; each Count begins a case, and FAIL stands in place of the plaintext. */
function nistCases(file: string): AeadCase[] {
  return read(file)
    .split(/^Count = /m)
    .slice(1)
    .map((text) => {
      const field = (name: string) => new RegExp(`^${name} = ?(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
      return {
        name: `${file}: key ${field('Key').slice(0, 8)}`,
        key: field('Key'),
        iv: field('IV'),
        aad: field('AAD'),
        msg: field('PT'),
        ct: field('CT'),
        tag: field('Tag'),
        valid: !/^FAIL$/m.test(text),
      };
    });
}

describe('AES-256-GCM agrees with what is published', () => {
  it('by Wycheproof: what is valid is opened and sealed alike, what is invalid is refused', (t) => {
    const file = JSON.parse(read('wycheproof-aes-256-gcm.json'));
    const cases: AeadCase[] = [];
    for (const group of file.testGroups) {
      assert.deepEqual([group.keySize, group.ivSize, group.tagSize], [256, 96, 128]);
      for (const { tcId, result, ...rest } of group.tests) cases.push({ ...rest, name: `tcId ${tcId}`, valid: result === 'valid' });
    }
    assert.equal(cases.length, file.numberOfTests);
    for (const each of cases) {
      opens(each);
      seals(each, each.valid);
    }
    const invalid = cases.filter(({ valid }) => !valid).length;
    t.diagnostic(`${cases.length} run, ${invalid} of them invalid`);
    t.diagnostic(
      `${file.numberOfTestsInSource - cases.length} of the source's ${file.numberOfTestsInSource} left out: other key or IV lengths`,
    );
    assert.deepEqual([cases.length, invalid], [48, 27]);
  });

  it('by NIST: sealing', (t) => {
    const cases = nistCases('nist-gcm-encrypt-256.rsp');
    for (const each of cases) seals(each, true);
    t.diagnostic(`${cases.length} run; 7500 of the source's 7875 left out: other IV or tag lengths`);
    assert.equal(cases.length, 375);
  });

  it('by NIST: opening', (t) => {
    const cases = nistCases('nist-gcm-decrypt-256.rsp');
    for (const each of cases) opens(each);
    const invalid = cases.filter(({ valid }) => !valid).length;
    t.diagnostic(`${cases.length} run, ${invalid} of them to be refused; 7500 of the source's 7875 left out: other IV or tag lengths`);
    assert.deepEqual([cases.length, invalid], [375, 191]);
  });
});

describe('HKDF agrees with RFC 5869', () => {
  const { tests } = JSON.parse(read('rfc5869.json'));
  for (const { name, IKM, salt, info, L, PRK, OKM } of tests) {
    it(name, () => {
      const prk = extract(bytes(salt), bytes(IKM));
      assert.equal(prk.toString('hex'), PRK);
      // One block is all that expand() makes; the key wrap, which needs two, has node:crypto's.
      assert.equal(expand(prk, '', bytes(info)).toString('hex'), OKM.slice(0, 64));
      assert.equal(Buffer.from(hkdfSync('sha256', bytes(IKM), bytes(salt), bytes(info), L)).toString('hex'), OKM);
    });
  }
});

describe('X25519 agrees with RFC 7748', () => {
  const { vectors, iterated, diffieHellman } = JSON.parse(read('rfc7748.json'));
  const exchange = (scalar: Buffer, point: Buffer): Buffer => {
    const pair = new KeyPair(scalar);
    const result = pair.exchange(point);
    pair.free();
    assert.ok(result);
    return result;
  };

  it('for its vectors', () => {
    for (const { scalar, point, result } of vectors) assert.equal(exchange(bytes(scalar), bytes(point)).toString('hex'), result);
  });

  it('iterated 1,000 times', () => {
    let [k, u] = [bytes(iterated.start), bytes(iterated.start)];
    for (let i = 1; i <= 1000; i++) {
      [k, u] = [exchange(k, u), k];
      if (i in iterated.after) assert.equal(k.toString('hex'), iterated.after[i], `after ${i}`);
    }
  });

  it('for its Diffie-Hellman example', () => {
    const { alicePrivate, alicePublic, bobPrivate, bobPublic, shared } = diffieHellman;
    for (const [own, ownPublic, peer] of [
      [alicePrivate, alicePublic, bobPublic],
      [bobPrivate, bobPublic, alicePublic],
    ]) {
      const pair = new KeyPair(bytes(own));
      assert.equal(pair.publicKey.toString('hex'), ownPublic);
      assert.equal(pair.exchange(bytes(peer))?.toString('hex'), shared);
      pair.free();
    }
  });
});
