import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isOlder } from './checks.ts';

it('compares QEMU by its series', () => {
  const older: [string, string][] = [
    ['7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)', '8.0.0'],
    ['7.2.0', '10.0.2'],
    ['9.2.1', '10.0.0'],
    ['nonsense', '7.2.0'],
  ];
  for (const [version, than] of older) {
    assert.ok(isOlder(version, than), `${version} < ${than}`);
    assert.ok(!isOlder(than, version));
  }
  assert.ok(!isOlder('7.2.1', '7.2.22'));
  assert.ok(!isOlder('10.0.2', '10.0.2'));
});
