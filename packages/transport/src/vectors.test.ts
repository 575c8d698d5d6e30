/** The committed vectors against the implementation, and against a second one that was written from docs/protocol.md. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { makeVectors } from '../vectors/generate.ts';
import { closePayload, MiniDirection, type MiniSpec, miniContext, miniHello, recordsOf, uint } from './testing/mini.ts';

type Vectors = ReturnType<typeof makeVectors>;
// The committed files, whose shape is what the generator makes.
const load = <N extends keyof Vectors>(name: N): Vectors[N] =>
  JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8'));

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
const hex = (of: Uint8Array): string => Buffer.from(of).toString('hex');

type Attempt = Vectors['context.json']['vectors'][number]['attempt'];
const specOf = (attempt: Attempt): MiniSpec => ({
  ...attempt,
  nonce: bytes(attempt.nonce),
  sourceKeyHash: bytes(attempt.sourceKeyHash),
  destinationKeyHash: bytes(attempt.destinationKeyHash),
});

describe('test vectors', () => {
  it('are what the implementation makes', () => {
    for (const [name, content] of Object.entries(makeVectors())) {
      assert.deepEqual(load(name as keyof Vectors), JSON.parse(JSON.stringify(content)), name); // its own keys
    }
  });

  for (const { name, attempt, context } of load('context.json').vectors) {
    it(`context, ${name}: the second implementation agrees`, () => {
      assert.equal(hex(miniContext(specOf(attempt))), context);
    });
  }

  for (const vector of load('hello.json').vectors) {
    it(`hello, ${vector.name}: the second implementation agrees`, () => {
      const { hello, dh, m1, th, m2, confirm, sourceToDestination, destinationToSource } = vector;
      const made = miniHello(
        specOf(vector.attempt),
        bytes(vector.key),
        vector.channel,
        bytes(vector.sourcePrivate),
        bytes(vector.destinationPrivate),
      );
      const expected = { hello, dh, m1, th, m2, confirm, sourceToDestination, destinationToSource };
      assert.deepEqual(Object.fromEntries(Object.entries(made).map(([key, value]) => [key, hex(value)])), expected);
    });
  }

  it('epochs: the second implementation agrees', () => {
    const { secret, epochs, records } = load('epochs.json');
    const direction = new MiniDirection(bytes(secret));
    for (const { epoch, ...keys } of epochs) {
      const made = direction.epoch(epoch);
      assert.deepEqual({ secret: hex(made.secret), key: hex(made.key), iv: hex(made.iv) }, keys);
    }
    for (const { sequence, nonce, record } of records) {
      assert.equal(hex(direction.nonce(sequence)), nonce);
      assert.equal(hex(direction.seal(0x13, 3, Buffer.alloc(0), { sequence })), record);
    }
  });

  for (const vector of load('records.json').vectors) {
    it(`records, ${vector.name}: the second implementation opens them to what went in`, () => {
      const direction = new MiniDirection(bytes(vector.secret), { start: 1, suite: vector.suite === 'none' ? 'none' : 'aes-256-gcm' });
      const opened = recordsOf(bytes(vector.stream)).map((record) => direction.open(record));
      assert.ok(opened.every(({ channel }) => channel === vector.channel));
      assert.deepEqual(
        opened.map(({ type, payload }) => [type, hex(payload)]),
        expectedRecords(vector).map(([type, payload]) => [type, hex(payload)]),
      );
    });
  }
});

type RecordVector = Vectors['records.json']['vectors'][number];

function expectedRecords(vector: RecordVector): [type: number, payload: Buffer][] {
  const local = vector.local.map(bytes);
  const data = local.map((payload): [number, Buffer] => [0x02, payload]);
  const close: [number, Buffer] = [0x03, closePayload(local.length, Buffer.concat(local).length)];
  if (!('grant' in vector)) return [...data, close];
  const { grant } = vector;
  const u64s = (values: readonly number[]) => Buffer.concat(values.map((value) => uint(value, 8)));
  const totals = grant.totals.flatMap(({ records, bytes: sum }) => [records, sum]);
  const mark = (grant.runState === 'paused' ? 2 : 1) + ('postcopy' in grant ? 2 : 0);
  const granted: [number, Buffer] = [
    0x11,
    Buffer.concat([Buffer.of(mark, grant.diskWrites.length), u64s([...totals, ...grant.diskWrites])]),
  ];
  const running: [number, Buffer] = [0x12, Buffer.alloc(0)];
  if (!('ping' in vector)) return [granted, running, close];
  const { ping } = vector;
  return [[0x10, u64s([ping.sentAt, ping.echo, ping.echoAge, ...ping.received])], granted, running, [0x13, Buffer.alloc(0)], close];
}
