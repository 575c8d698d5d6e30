import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type EncryptionMode, SealiftError } from '@sealift/contract';
import { chooseSuite } from './policy.ts';

const both = [
  { name: 'alpha', canSeal: true },
  { name: 'bravo', canSeal: true },
];
const one = [
  { name: 'alpha', canSeal: true },
  { name: 'bravo', canSeal: false },
];
const none = [
  { name: 'alpha', canSeal: false },
  { name: 'bravo', canSeal: false },
];

describe('sealed or clear', () => {
  const cases: [EncryptionMode, clear: boolean, hosts: typeof both, sealed: boolean, why?: RegExp][] = [
    ['required', false, both, true],
    ['opportunistic', false, both, true],
    ['opportunistic', false, one, false, /^host bravo cannot seal.*opportunistic/],
    ['opportunistic', false, none, false, /^hosts alpha and bravo cannot seal/],
    ['opportunistic', true, both, false, /^it was ordered clear/],
    ['disabled', false, both, false, /is disabled/],
    ['disabled', true, none, false, /is disabled/],
  ];
  for (const [encryption, clear, hosts, sealed, why] of cases) {
    it(`${encryption}${clear ? ', ordered clear' : ''}, ${hosts.filter((host) => host.canSeal).length} hosts can seal`, () => {
      const choice = chooseSuite({ name: 'redis', encryption }, clear, hosts);
      assert.equal(choice.suite, sealed ? 'aes-256-gcm' : 'none');
      if (why) assert.match(choice.clearBecause ?? '', why);
      else assert.equal(choice.clearBecause, undefined);
    });
  }

  it('never moves in clear what must be sealed', () => {
    for (const [clear, hosts] of [
      [true, both],
      [false, one],
      [false, none],
      [true, none],
    ] as const) {
      assert.throws(
        () => chooseSuite({ name: 'redis', encryption: 'required' }, clear, hosts),
        (error) => error instanceof SealiftError && error.code === 'encryption_required',
      );
    }
  });
});
