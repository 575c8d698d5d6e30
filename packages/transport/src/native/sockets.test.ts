import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { libc } from './libc.ts';
import { boundAddress, connectError, connectUnix, formatAddress, listenTcp, listenUnix, parseAddress, startConnect } from './sockets.ts';

describe('an address', () => {
  for (const [text, host, port] of [
    ['127.0.0.1:8651', '127.0.0.1', 8651],
    ['[::1]:0', '::1', 0],
    ['[2001:db8::10.0.0.1]:65535', '2001:db8::10.0.0.1', 65535],
  ] as const) {
    it(`is read from ${text} and written back`, () => {
      assert.deepEqual(parseAddress(text), { host, port });
      assert.equal(formatAddress({ host, port }), text);
    });
  }

  for (const text of [
    '',
    'localhost:1',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '::1:8651',
    '[127.0.0.1:1',
    '1.2.3:4',
    '127.0.0.1:1x',
  ]) {
    it(`is refused: ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseAddress(text), { code: 'local' });
    });
  }
});

describe('sockets', () => {
  for (const host of ['127.0.0.1', '::1', '0:0:0:0:0:0:0:1', '::0.0.0.1']) {
    it(`listen and connect on ${host}`, () => {
      const listener = listenTcp({ host, port: 0 });
      try {
        const address = boundAddress(listener, { host, port: 0 });
        assert.ok(address.port > 0);
        const caller = startConnect(address);
        assert.equal(connectError(caller), 0);
        libc.close(caller);
        assert.throws(() => listenTcp(address), { code: 'local', message: /EADDRINUSE/ });
      } finally {
        libc.close(listener);
      }
    });
  }

  it('of unix say what is wrong with a path', () => {
    assert.throws(() => connectUnix('/nonexistent/socket'), { code: 'local', message: /ENOENT/ });
    assert.throws(() => listenUnix(`/tmp/${'x'.repeat(110)}`, 1), { code: 'local', message: /at most 107 bytes/ });
  });
});
