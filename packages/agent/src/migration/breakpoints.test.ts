import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CannotStart } from '../cannot-start.ts';
import { breakpointsIn, checkBreakpoints } from './breakpoints.ts';

describe('breakpoints', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-breakpoints-'));
  after(() => rmSync(directory, { recursive: true }));

  it('are not there unless asked for', () => {
    assert.equal(checkBreakpoints(undefined, true), undefined);
    assert.equal(checkBreakpoints('', true), undefined);
    assert.equal(checkBreakpoints(directory, true), directory);
  });

  it('are refused without --unsafe, and where there is no directory', () => {
    assert.throws(() => checkBreakpoints(directory, false), { name: CannotStart.name, message: /--unsafe/ });
    assert.throws(() => checkBreakpoints(join(directory, 'none'), true), { name: CannotStart.name, message: /not a directory/ });
  });

  it('hold nothing that was not asked for', async () => {
    await breakpointsIn(directory).at('paused', 'one');
    assert.throws(() => statSync(join(directory, 'paused.reached')), { code: 'ENOENT' });
  });

  it('hold a stage until its file is gone, and say which migration came there', async () => {
    const held = join(directory, 'loaded');
    writeFileSync(held, '');
    let passed = false;
    const at = breakpointsIn(directory)
      .at('loaded', 'two')
      .then(() => (passed = true));
    assert.equal(readFileSync(`${held}.reached`, 'utf8'), 'two');
    await sleep(50);
    assert.equal(passed, false);
    rmSync(held);
    await at;
  });
});
