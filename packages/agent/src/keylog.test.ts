import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { CannotStart } from './cannot-start.ts';
import { openKeylog } from './keylog.ts';

describe('the key log', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealift-keylog-'));
  after(() => rmSync(directory, { recursive: true }));

  it('is not there unless asked for', () => {
    assert.equal(openKeylog(undefined, true), undefined);
    assert.equal(openKeylog('', true), undefined);
  });

  it('is refused without --unsafe, and nothing is made', () => {
    const file = join(directory, 'refused');
    assert.throws(() => openKeylog(file, false), { name: CannotStart.name, message: /--unsafe/ });
    assert.throws(() => statSync(file), { code: 'ENOENT' });
  });

  it('belongs to root alone, and follows no link', () => {
    const file = join(directory, 'keys');
    const fd = openKeylog(file, true);
    assert.ok(fd !== undefined);
    closeSync(fd);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    writeFileSync(join(directory, 'elsewhere'), '');
    symlinkSync(join(directory, 'elsewhere'), join(directory, 'link'));
    assert.throws(() => openKeylog(join(directory, 'link'), true), { name: CannotStart.name, message: /cannot be opened/ });
    assert.throws(() => openKeylog(join(directory, 'no', 'such'), true), { name: CannotStart.name });
  });
});
