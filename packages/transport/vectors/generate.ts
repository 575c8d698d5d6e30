/**
 * Makes the test vectors beside this file from fixed inputs, by the implementation itself:
 *
 *     tools/node packages/transport/vectors/generate.ts
 *
 * They are committed. src/vectors.test.ts checks that the implementation still makes the same, and that a second one, written from
 * docs/protocol.md alone, agrees. Byte strings are hexadecimal.
 */
import { writeFileSync } from 'node:fs';
import { confirmBytes, recordType, type Suite } from '../src/constants.ts';
import { DestinationHello, SourceHello } from '../src/hello/hello.ts';
import { decodeM1 } from '../src/hello/messages.ts';
import { type Attempt, contextHash } from '../src/keys/context.ts';
import { Epochs } from '../src/keys/epochs.ts';
import { expand } from '../src/keys/hkdf.ts';
import { helloKeys, transcript } from '../src/keys/schedule.ts';
import { libc } from '../src/native/libc.ts';
import { allocate, freeMemory } from '../src/native/memory.ts';
import { KeyPair } from '../src/native/x25519.ts';
import { encodeGrant, encodePing } from '../src/record/control.ts';
import { writeHeader } from '../src/record/header.ts';
import { drain, unixPair, writeTo } from '../src/testing/wires.ts';
import { Outbound } from '../src/worker/outbound.ts';
import { Statistics } from '../src/worker/statistics.ts';

/** 32 bytes, or as many as asked for: `from`, `from` + 1, … */
const run = (from: number, length = 32): Buffer => Buffer.from(Array.from({ length }, (_, i) => (from + i) % 256));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const base: Attempt = {
  protocolVersion: 1,
  migration: '0191f3a2-7c4d-7e8f-9a0b-1c2d3e4f5061',
  attempt: 1,
  nonce: run(0xa0, 8),
  suite: 'aes-256-gcm',
  sourceKeyHash: run(0x10),
  destinationKeyHash: run(0x50),
  channels: 4,
  limits: {
    bandwidthBytesPerSecond: 0,
    downtimeMs: 30,
    maxDowntimeMs: 300,
    deadlineMs: 3_600_000,
    maxThrottlePercent: 80,
    postcopy: false,
  },
  expiresAt: 1_767_225_600_000,
};

const attempts: readonly { name: string; attempt: Attempt }[] = [
  { name: 'sealed, default limits', attempt: base },
  {
    name: 'clear, second attempt, every limit set',
    attempt: {
      ...base,
      suite: 'none',
      attempt: 2,
      channels: 2,
      limits: {
        bandwidthBytesPerSecond: 12_500_000_000,
        downtimeMs: 300,
        maxDowntimeMs: 2_000,
        deadlineMs: 86_400_000,
        maxThrottlePercent: 99,
        postcopy: true,
      },
    },
  },
  {
    name: 'largest values',
    attempt: { ...base, protocolVersion: 255, attempt: 2 ** 32 - 1, channels: 256, expiresAt: Number.MAX_SAFE_INTEGER },
  },
];

/** An attempt as the vector files carry it. */
const attemptToJson = (attempt: Attempt) => ({
  ...attempt,
  nonce: hex(attempt.nonce),
  sourceKeyHash: hex(attempt.sourceKeyHash),
  destinationKeyHash: hex(attempt.destinationKeyHash),
});

const contexts = () => attempts.map(({ name, attempt }) => ({ name, attempt: attemptToJson(attempt), context: hex(contextHash(attempt)) }));

function hello(name: string, attempt: Attempt, channel: number) {
  const key = run(0xc0);
  const sourcePrivate = run(0x01);
  const destinationPrivate = run(0x77);
  const context = contextHash(attempt);
  const keys = helloKeys(key, attempt.nonce, context);
  const identity = { version: attempt.protocolVersion, migration: attempt.migration, attempt: attempt.attempt, channel };
  const source = new SourceHello(identity, keys, context, new KeyPair(sourcePrivate));
  try {
    const m1 = source.begin();
    const { ephemeral } = decodeM1(m1);
    const destination = DestinationHello.answering(m1, ephemeral, channel, keys, context, new KeyPair(destinationPrivate));
    const finished = destination && source.finish(destination.answer);
    if (!finished) throw new Error('the hello failed');
    const m2 = destination.answer;
    return {
      name,
      attempt: attemptToJson(attempt),
      channel,
      key: hex(key),
      sourcePrivate: hex(sourcePrivate),
      destinationPrivate: hex(destinationPrivate),
      hello: hex(keys.hello),
      dh: hex(keys.dh),
      m1: hex(m1),
      th: hex(transcript(context, m1, m2.subarray(0, 32))),
      m2: hex(m2),
      confirm: hex(finished.confirm),
      sourceToDestination: hex(finished.secrets.sourceToDestination),
      destinationToSource: hex(finished.secrets.destinationToSource),
    };
  } finally {
    source.free();
  }
}

const hellos = () => [hello('channel 0', base, 0), hello('the last channel of a clear attempt', attempts[1]?.attempt ?? base, 1)];

/** The last record of an epoch and the first of the next, empty ones of channel 3. */
function epochs() {
  const secret = run(0x30);
  const chain = Array.from({ length: 3 }, (_, n) => {
    let of: Buffer = Buffer.from(secret);
    for (let i = 0; i < n; i++) of = expand(of, 'next');
    return { epoch: n, secret: hex(of), key: hex(expand(of, 'key')), iv: hex(expand(of, 'iv', undefined, 12)) };
  });
  const wanted = [0, 1, 65_535, 65_536, 131_071, 131_072];
  const records: { sequence: number; nonce: string; record: string }[] = [];
  const direction = new Epochs(Buffer.from(secret), 'seal');
  const memory = allocate(confirmBytes);
  try {
    for (let sequence = 0; sequence <= 131_072; sequence++) {
      direction.next();
      if (!wanted.includes(sequence)) continue;
      writeHeader(memory.bytes, recordType.aborted, 3, 0, sequence);
      direction.aead.seal(memory.address, 16, 0, 0, 0, memory.address + 16);
      records.push({ sequence, nonce: hex(direction.aead.nonce), record: hex(memory.bytes) });
    }
  } finally {
    direction.free();
    freeMemory(memory);
  }
  return { secret: hex(secret), epochs: chain, records };
}

/** What an Outbound puts on the wire, given this on its local socket and these control records. */
function streamOf(
  suite: Suite,
  channel: number,
  local: readonly Buffer[],
  control: readonly { type: number; payload: Uint8Array }[],
): Buffer {
  const [wire, peer] = unixPair();
  const [near, far] = unixPair();
  const outbound = new Outbound(channel, wire, new Epochs(run(0x30), 'seal', 1), suite, new Statistics(256));
  const out: Buffer[] = [];
  const settle = () => {
    do {
      outbound.localReadable = true;
      outbound.wireWritable = true;
      out.push(drain(peer));
    } while (outbound.step());
  };
  try {
    if (local.length > 0) outbound.attach(near);
    for (const part of local) {
      if (writeTo(far, part) !== part.length) throw new Error('the local socket is full');
      settle();
    }
    for (const { type, payload } of control) outbound.control(type, payload);
    if (local.length > 0) libc.shutdown(far, 1);
    else outbound.close();
    settle();
    return Buffer.concat(out);
  } finally {
    outbound.free();
    for (const fd of [wire, peer, near, far]) libc.close(fd);
  }
}

function records() {
  const secret = hex(run(0x30));
  const totals = [
    { records: 2, bytes: 1001 },
    { records: 2 ** 40, bytes: 2 ** 53 - 1 },
    { records: 0, bytes: 0 },
  ];
  const ping = { sentAt: 1_000_001, echo: 900_000, echoAge: 77, received: [1, 0, 2 ** 53 - 1] };
  const grant = { runState: 'paused', totals, diskWrites: [7, 0] } as const;
  const control = [
    { type: recordType.ping, payload: encodePing(ping) },
    { type: recordType.grant, payload: encodeGrant(grant) },
    { type: recordType.running, payload: Buffer.alloc(0) },
    { type: recordType.aborted, payload: Buffer.alloc(0) },
  ];
  const noTotals = totals.map(() => ({ records: 0, bytes: 0 }));
  const byPostcopy = { runState: 'paused', postcopy: true, totals: noTotals, diskWrites: [] } as const;
  const controlByPostcopy = [
    { type: recordType.grant, payload: encodeGrant(byPostcopy) },
    { type: recordType.running, payload: Buffer.alloc(0) },
  ];
  const local = [run(0, 1000), Buffer.from('!')];
  return [
    {
      name: 'channel 0: PING, GRANT, RUNNING, ABORTED, CLOSE',
      suite: 'aes-256-gcm',
      channel: 0,
      secret,
      ping,
      grant,
      local: [] as string[],
      stream: hex(streamOf('aes-256-gcm', 0, [], control)),
    },
    {
      name: 'channel 0, by post-copy: GRANT, RUNNING, CLOSE',
      suite: 'aes-256-gcm',
      channel: 0,
      secret,
      grant: byPostcopy,
      local: [] as string[],
      stream: hex(streamOf('aes-256-gcm', 0, [], controlByPostcopy)),
    },
    ...(['aes-256-gcm', 'none'] as const).map((suite) => ({
      name: `channel 2, ${suite}: DATA, DATA, CLOSE`,
      suite,
      channel: 2,
      secret,
      local: local.map(hex),
      stream: hex(streamOf(suite, 2, local, [])),
    })),
  ];
}

/** All vectors, by file. */
export const makeVectors = () => ({
  'context.json': { about: 'docs/protocol.md "context".', vectors: contexts() },
  'hello.json': { about: 'docs/protocol.md "key schedule" and "hello".', vectors: hellos() },
  'epochs.json': { about: 'docs/protocol.md "epochs": one direction over two boundaries.', ...epochs() },
  'records.json': { about: 'docs/protocol.md "records": what one direction sends, from sequence number 1.', vectors: records() },
});

if (import.meta.main) {
  for (const [name, content] of Object.entries(makeVectors())) {
    writeFileSync(new URL(name, import.meta.url), `${JSON.stringify(content, undefined, 2)}\n`);
  }
}
