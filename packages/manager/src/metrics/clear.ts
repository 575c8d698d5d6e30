/** Why a migration moves in clear, as one of few words: by the words that the planner says it in. */
import type { Migration } from '@sealift/contract';
import { chooseSuite } from '../planner/checks/encryption.ts';

/** `none`: it is sealed. `disabled`: the VM's mode. `ordered`: somebody's order. `fallback`: a host cannot seal, and the mode allows that. */
export const clearCauses = ['none', 'disabled', 'ordered', 'fallback'] as const;
type ClearCause = (typeof clearCauses)[number];

export function clearCauseOf({ vm, suite, clearBecause }: Pick<Migration, 'vm' | 'suite' | 'clearBecause'>): ClearCause {
  if (suite !== 'none') return 'none';
  // Without a host that cannot seal, only these two lead to a clear migration.
  for (const [cause, encryption, ordered] of [
    ['disabled', 'disabled', false],
    ['ordered', 'opportunistic', true],
  ] as const) {
    const choice = chooseSuite({ name: vm, encryption }, ordered, []);
    if ('suite' in choice && choice.clearBecause === clearBecause) return cause;
  }
  return 'fallback';
}
