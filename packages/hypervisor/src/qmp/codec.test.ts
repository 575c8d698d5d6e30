import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { encodeCommand, QmpDecoder, type QmpMessage } from './codec.ts';

const conversation = [
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n',
  '{"return": {}, "id": 1}\r\n',
  'qemu: a warning that strayed here\r\n',
  '[1]\r\n',
  '\r\n',
  '{"timestamp": {"seconds": 1795353554, "microseconds": 581924}, "event": "STOP"}\r\n',
  '{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "MIGRATION", "data": {"status": "äctive"}}\r\n',
  '{"id": 2, "error": {"class": "GenericError", "desc": "no"}}\r\n',
].join('');

const expected: QmpMessage[] = [
  { kind: 'greeting', version: { major: 7, minor: 2, micro: 22, package: 'Debian' } },
  { kind: 'return', id: 1, value: {} },
  { kind: 'garbage', reason: 'a line is not JSON: qemu: a warning that strayed here' },
  { kind: 'garbage', reason: 'a line is not a QMP message: [1]' },
  { kind: 'event', name: 'STOP', data: undefined, qemuMicroseconds: 1795353554581924 },
  { kind: 'event', name: 'MIGRATION', data: { status: 'äctive' }, qemuMicroseconds: Number.NaN },
  { kind: 'error', id: 2, qemuClass: 'GenericError', description: 'no' },
];

it('reads a conversation whole, byte by byte and in any pieces', () => {
  const bytes = Buffer.from(conversation);
  assert.deepEqual(new QmpDecoder().push(bytes), expected);
  const decoder = new QmpDecoder();
  assert.deepEqual(
    [...bytes].flatMap((byte) => decoder.push(Buffer.of(byte))),
    expected,
  );
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 10 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const pieces = new QmpDecoder();
      assert.deepEqual(
        at.flatMap((start, i) => pieces.push(bytes.subarray(start, at[i + 1] ?? bytes.length))),
        expected,
      );
    }),
  );
});

it('skips a line that is too long, says so, and goes on at the next', () => {
  const decoder = new QmpDecoder(32);
  assert.deepEqual(decoder.push(Buffer.from(`{"return": "${'x'.repeat(100)}`)), []);
  assert.deepEqual(decoder.push(Buffer.from('xxx"}\n{"return": {}, "id": 3}\n')), [
    { kind: 'garbage', reason: 'a line is longer than 32 bytes' },
    { kind: 'return', id: 3, value: {} },
  ]);
  assert.equal(decoder.push(Buffer.from(`${' '.repeat(32)}\n`)).length, 0);
});

it('survives any bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (pieces) => {
      const decoder = new QmpDecoder(64);
      for (const piece of pieces) decoder.push(piece);
      decoder.push(Buffer.from('\n'));
      assert.deepEqual(decoder.push(Buffer.from('{"return": 1, "id": 9}\n')), [{ kind: 'return', id: 9, value: 1 }]);
    }),
  );
});

it('writes one line a command', () => {
  assert.equal(encodeCommand(5, 'stop', undefined), '{"execute":"stop","id":5}\n');
  assert.equal(encodeCommand(6, 'migrate', { uri: 'unix:/a\nb' }), '{"execute":"migrate","arguments":{"uri":"unix:/a\\nb"},"id":6}\n');
});
