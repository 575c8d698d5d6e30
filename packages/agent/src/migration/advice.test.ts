import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { advice, withAdvice } from './advice.ts';

describe('what to do about a failure', () => {
  it('is what docs/protocol.md says, for every code and no other', () => {
    const text = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8');
    const section = /\n## Failure codes\n([\s\S]*?)\nWhat every wrong input/.exec(text)?.[1] ?? '';
    const rows = [...section.matchAll(/^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$/gm)].map(([, code, words]) => [code, words]);
    assert.deepEqual(Object.fromEntries(rows), advice);
  });

  it('goes with the failure, where the message does not say it', () => {
    assert.deepEqual(withAdvice({ code: 'record', message: 'refused' }), { code: 'record', message: 'refused', advice: advice.record });
    assert.deepEqual(withAdvice({ code: 'cancelled', message: 'cancelled' }), { code: 'cancelled', message: 'cancelled' });
  });
});
