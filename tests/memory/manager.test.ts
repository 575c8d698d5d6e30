/** A manager has a migration's key for one call. Afterwards neither the key nor what it was wrapped with is in its memory. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { MigrationSpec, WrappedKey } from '../../packages/contract/src/index.ts';
import { makeSpec } from '../../packages/manager/src/migrations/spec/make.ts';
import { contextHash, KeyUnwrapper } from '../../packages/transport/src/index.ts';
import { exchange, publicOf } from '../../packages/transport/src/testing/mini.ts';
import { search } from './scan.ts';

const hosts = ['source', 'destination'] as const;

const makeTestSpec = (): MigrationSpec =>
  makeSpec({
    migration: randomUUID(),
    suite: 'aes-256-gcm',
    source: { name: 'alpha', keyHash: '01'.repeat(32) },
    destination: { name: 'bravo', keyHash: '02'.repeat(32) },
    multifdChannels: 2,
    limits: { bandwidthBytesPerSecond: 0, downtimeMs: 30, deadlineMs: 60_000, autoConverge: true },
    now: 1_800_000_000_000,
  });

/** docs/protocol.md "key wrap". */
function wrappingKey(ephemeral: Buffer, agent: Buffer, context: Buffer): Buffer {
  const info = Buffer.concat([Buffer.from('sealift/1 key wrap\0'), publicOf(ephemeral), agent, context]);
  return Buffer.from(hkdfSync('sha256', exchange(ephemeral, agent), Buffer.alloc(0), info, 44)).subarray(0, 32);
}

describe('keys in the memory of a manager', () => {
  it('are gone when they have been wrapped', async () => {
    const child = fork(new URL('./manager.ts', import.meta.url), { execArgv: ['--import', import.meta.resolve('./reveal.ts')] });
    const exited = once(child, 'exit');
    try {
      const secrets: Buffer[] = [];
      const wrapped = Promise.withResolvers<Record<(typeof hosts)[number], WrappedKey>>();
      child.on('message', (message: { inverted?: string; wrapped?: Record<(typeof hosts)[number], WrappedKey> }) => {
        if (message.inverted !== undefined) secrets.push(Buffer.from(Buffer.from(message.inverted, 'hex').map((byte) => byte ^ 0xff)));
        if (message.wrapped) wrapped.resolve(message.wrapped);
      });
      const spec = makeTestSpec();
      const bytes = (text: string) => Buffer.from(text, 'base64url');
      const context = contextHash({
        ...spec,
        nonce: bytes(spec.nonce),
        sourceKeyHash: Buffer.from(spec.source.keyHash, 'hex'),
        destinationKeyHash: Buffer.from(spec.destination.keyHash, 'hex'),
      });
      const unwrappers = { source: new KeyUnwrapper(), destination: new KeyUnwrapper() };
      const offerOf = (host: (typeof hosts)[number]) => ({ publicKey: unwrappers[host].publicKey.toString('base64url') });
      child.send({ spec, offers: { source: offerOf('source'), destination: offerOf('destination') } });
      const answer = await wrapped.promise;
      const keys = hosts.map((host) =>
        unwrappers[host].unwrap({ ephemeral: bytes(answer[host].ephemeral), sealed: bytes(answer[host].sealed) }, context),
      );
      const [key, forSource, forDestination] = secrets;
      assert.ok(key && forSource && forDestination);
      assert.equal(secrets.length, 3, 'the key, and a key pair for each wrapping');
      assert.deepEqual(keys, [key, key], 'what was told is what was made');
      const wanted = {
        key,
        'key pair for the source': forSource,
        'key pair for the destination': forDestination,
        'wrapping for the source': wrappingKey(forSource, unwrappers.source.publicKey, context),
        'wrapping for the destination': wrappingKey(forDestination, unwrappers.destination.publicKey, context),
        'id, which is no secret': Buffer.from(spec.migration),
        absent: randomBytes(32),
      };
      const found = search(child.pid ?? 0, wanted);
      const present = Object.keys(wanted).filter((name) => found.bytes[name] !== 0);
      assert.deepEqual(present, ['id, which is no secret'], 'what is no secret shows that the search finds');
    } finally {
      if (child.connected) child.disconnect();
      await exited;
    }
  });
});
