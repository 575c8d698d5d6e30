import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

/** In a process of its own, as it cannot be undone. */
const script = `
  import { readFileSync } from 'node:fs';
  import koffi from ${JSON.stringify(import.meta.resolve('koffi'))};
  import { hardenProcess } from ${JSON.stringify(import.meta.resolve('./hardening.ts'))};
  const dumpable = koffi.load(null).func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)');
  const look = () => [/^Max core file size +(\\S+) +(\\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')).slice(1), dumpable(3, 0, 0, 0, 0)];
  const before = look();
  hardenProcess();
  console.log(JSON.stringify([before, look()]));
`;

describe('a hardened process', () => {
  it('has no core dump, and is not dumpable', () => {
    const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
    assert.equal(child.status, 0, child.stderr);
    const [[, wasDumpable], after] = JSON.parse(child.stdout);
    assert.equal(wasDumpable, 1);
    assert.deepEqual(after, [['0', '0'], 0]);
  });
});
