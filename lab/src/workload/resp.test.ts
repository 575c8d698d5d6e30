import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCommand, type Reply, ReplyParser } from './resp.ts';

const wire = Buffer.from('+OK\r\n:-12\r\n$-1\r\n$5\r\nn\u00e4\r\n\r\n*2\r\n$1\r\na\r\n*1\r\n:3\r\n-ERR no\r\n*-1\r\n');
const replies: Reply[] = ['OK', -12, null, 'nä\r\n', ['a', [3]], new Error('ERR no'), null];

test('replies come out whole however they arrive', () => {
  assert.deepEqual(new ReplyParser().push(wire), replies);
  for (let size = 1; size < 9; size++) {
    const parser = new ReplyParser();
    const got: Reply[] = [];
    for (let at = 0; at < wire.length; at += size) got.push(...parser.push(wire.subarray(at, at + size)));
    assert.deepEqual(got, replies);
  }
});

test('other bytes are refused', () => {
  assert.throws(() => new ReplyParser().push(Buffer.from('HTTP/1.1 400\r\n')), /not a reply of Redis/);
});

test('a command is counted in bytes', () => {
  assert.equal(encodeCommand(['SET', 'ä', 1]), '*3\r\n$3\r\nSET\r\n$2\r\nä\r\n$1\r\n1\r\n');
});
