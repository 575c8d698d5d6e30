import assert from 'node:assert/strict';
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { makeSpec } from './spec.ts';
import { readSpec, writeSpec } from './spec-file.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'sealift-spec-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const file = path.join(directory, 'spec');

/** @returns what was written */
function write(mode: number, force: boolean): string {
  rmSync(file, { force: true });
  const fd = openSync(file, 'w');
  chmodSync(file, mode);
  const document = makeSpec('aes-256-gcm', 2, Date.now() + 60_000);
  try {
    writeSpec(document, fd, force);
  } finally {
    closeSync(fd);
    assert.ok(document.every((byte) => byte === 0));
  }
  return readFileSync(file, 'utf8');
}

describe('a spec in a file', () => {
  it('is read from one that nobody else can read', async () => {
    const { key } = JSON.parse(write(0o600, false));
    assert.equal(Buffer.from((await readSpec(file)).key).toString('hex'), key);
    chmodSync(file, 0o400);
    await readSpec(file);
  });

  it('is refused where others can read it, or write it', async () => {
    write(0o600, false);
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o666]) {
      chmodSync(file, mode);
      await assert.rejects(readSpec(file), { code: 'usage', message: /others can read/ });
    }
  });

  it('is not written where others could read it, unless forced', () => {
    assert.throws(() => write(0o644, false), { code: 'usage', message: /umask 077/ });
    assert.equal(readFileSync(file, 'utf8'), '');
    assert.equal(JSON.parse(write(0o644, true)).suite, 'aes-256-gcm');
  });

  it('is refused where there is none, or something far too long', async () => {
    await assert.rejects(readSpec(path.join(directory, 'none')), { code: 'usage', message: /ENOENT/ });
    await assert.rejects(readSpec(directory), { code: 'usage' });
    writeFileSync(file, ' '.repeat(10_000), { mode: 0o600 });
    chmodSync(file, 0o600);
    await assert.rejects(readSpec(file), { code: 'usage', message: /longer/ });
  });
});
