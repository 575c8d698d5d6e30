import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Check, EncryptionMode, Suite } from '@sealift/contract';
import { planBalance, planDrain, planMigration } from '../index.ts';
import { type SiteOf, snapshotOf } from '../testing/sites.ts';

type Kind = 'ordered sealed' | 'ordered clear' | 'placed' | 'drained' | 'balanced';
const kinds: readonly Kind[] = ['ordered sealed', 'ordered clear', 'placed', 'drained', 'balanced'];
const modes: readonly EncryptionMode[] = ['required', 'opportunistic', 'disabled'];

interface Outcome {
  /** Undefined: it does not move. */
  readonly suite: Suite | undefined;
  readonly clearBecause: string | undefined;
  readonly check?: Check | undefined;
}

/** What design says, in the fewest words; written without the code. */
function expected(mode: EncryptionMode, source: boolean, target: boolean, kind: Kind): { suite: Suite | undefined; because?: RegExp } {
  if (mode === 'disabled') return { suite: 'none', because: /encryption of VM redis is disabled/ };
  if (mode === 'required') return { suite: source && target && kind !== 'ordered clear' ? 'aes-256-gcm' : undefined };
  if (kind === 'ordered clear') return { suite: 'none', because: /it was ordered clear/ };
  if (source && target) return { suite: 'aes-256-gcm' };
  return { suite: 'none', because: new RegExp(`host ${source ? 'bravo' : 'alpha'} cannot seal.*is opportunistic`) };
}

function outcome(mode: EncryptionMode, source: boolean, target: boolean, kind: Kind): Outcome {
  const site: SiteOf = {
    hosts: [
      { name: 'alpha', report: { canSeal: source } },
      { name: 'bravo', report: { canSeal: target } },
    ],
    // For balance: alpha has all of it, and one of them is enough.
    vms: [
      { name: 'redis', host: 'alpha', cpus: 8, encryption: mode, definition: { vcpus: 8 } },
      { name: 'heavy', host: 'alpha', cpus: 8, immovable: ['it is bound to alpha'], definition: { vcpus: 8 } },
    ],
  };
  const snapshot = snapshotOf(site);
  if (kind === 'drained' || kind === 'balanced') {
    const { moves } = kind === 'drained' ? planDrain(snapshot, 'alpha', {}) : planBalance(snapshot, 'default');
    const move = moves.find(({ vm }) => vm === 'redis');
    return { suite: move?.suite, clearBecause: move?.clearBecause };
  }
  const order = { ...(kind !== 'placed' && { to: 'bravo' }), ...(kind === 'ordered clear' && { clear: true }) };
  const { suite, clearBecause, checks } = planMigration(snapshot, 'redis', order);
  return { suite, clearBecause, check: checks.find(({ name }) => name === 'encryption') };
}

describe('sealed or clear', () => {
  for (const mode of modes) {
    for (const [source, target] of [
      [true, true],
      [true, false],
      [false, true],
      [false, false],
    ] as const) {
      for (const kind of kinds) {
        it(`${mode}, source ${source ? 'can' : 'cannot'} seal, destination ${target ? 'can' : 'cannot'}, ${kind}`, () => {
          const { suite, because } = expected(mode, source, target, kind);
          const found = outcome(mode, source, target, kind);
          assert.equal(found.suite, suite);
          if (because) assert.match(found.clearBecause ?? '', because);
          else assert.equal(found.clearBecause, undefined);
          if (!found.check) return;
          assert.equal(found.check.verdict, suite === undefined ? 'fail' : suite === 'none' ? 'warn' : 'pass');
          if (suite === 'none') assert.match(found.check.reason, /WITHOUT ENCRYPTION/);
          if (suite === undefined) assert.ok(found.check.remedy);
        });
      }
    }
  }

  it('takes a fuller host that can seal before an empty one that cannot', () => {
    const site: SiteOf = {
      hosts: [{ name: 'alpha' }, { name: 'bravo', report: { canSeal: false, cannotSealBecause: '--no-seal' } }, { name: 'charlie' }],
      vms: [
        { name: 'redis', host: 'alpha', cpus: 1 },
        { name: 'busy', host: 'charlie', cpus: 14 },
      ],
    };
    assert.equal(planMigration(snapshotOf(site), 'redis', {}).to, 'charlie');
    const clear = planMigration(snapshotOf(site), 'redis', { clear: true });
    assert.deepEqual([clear.to, clear.suite], ['bravo', 'none']);
    const named = planMigration(snapshotOf(site), 'redis', { to: 'bravo' });
    assert.match(named.clearBecause ?? '', /host bravo cannot seal \(--no-seal\)/);
  });
});
