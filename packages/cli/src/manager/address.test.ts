import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../exit-codes.ts';
import { findManager, parseAddress, socketUrl } from './address.ts';

test('a unix socket and an origin are understood', () => {
  assert.deepEqual(parseAddress('unix:/run/m.sock'), { kind: 'unix', path: '/run/m.sock' });
  assert.deepEqual(parseAddress('http://127.0.0.1:8650/'), { kind: 'http', origin: 'http://127.0.0.1:8650' });
});

test('anything else is refused with the two forms', () => {
  for (const text of ['', 'unix:relative', '127.0.0.1:8650', 'ftp://host', 'http://host/path', 'http://user@host/']) {
    assert.throws(() => parseAddress(text), UsageError, text);
  }
});

test('the option goes before the environment', () => {
  assert.deepEqual(findManager('unix:/a', 'unix:/b'), { kind: 'unix', path: '/a' });
  assert.deepEqual(findManager(undefined, 'unix:/b'), { kind: 'unix', path: '/b' });
});

test('WebSockets go the same way', () => {
  assert.equal(socketUrl(parseAddress('unix:/run/m.sock'), '/v1/x'), 'ws+unix:/run/m.sock:/v1/x');
  assert.equal(socketUrl(parseAddress('http://[::1]:8650'), '/v1/x'), 'ws://[::1]:8650/v1/x');
});
