/**
 * After a migration no key of it is in either agent's memory: not the spec's, not what was derived from it, no AES key schedule. Each search is made
 * while the channels live as well, where it has to find, so that it can fail.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { wrapKey } from '../../packages/manager/src/migrations/spec/wrap.ts';
import { contextHash } from '../../packages/transport/src/index.ts';
import { expand, extract } from '../../packages/transport/src/keys/hkdf.ts';
import { type Answer, type Order, toAttempt, type WireAttempt } from './agent.ts';
import { type Found, search } from './scan.ts';

const channels = 3;

class Agent {
  readonly child: ChildProcess;
  readonly #answers: Answer[] = [];
  readonly #exited: Promise<unknown>;
  #wake: () => void = () => undefined;

  constructor(role: 'source' | 'destination') {
    this.child = fork(new URL('./agent.ts', import.meta.url), [role]);
    this.#exited = once(this.child, 'exit');
    this.child.on('message', (message: Answer) => {
      this.#answers.push(message);
      this.#wake();
    });
    this.child.on('exit', () => this.#wake());
  }

  order(order: Order): void {
    this.child.send(order);
  }

  async hear<K extends Answer['kind']>(kind: K): Promise<Extract<Answer, { kind: K }>> {
    for (;;) {
      const at = this.#answers.findIndex((each) => each.kind === kind);
      const [found] = at >= 0 ? this.#answers.splice(at, 1) : [];
      if (found) return found as Extract<Answer, { kind: K }>; // found by it
      if (this.child.exitCode !== null) throw new Error(`the agent ended (${this.child.exitCode}) and never said ${kind}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  search(wanted: Record<string, Buffer>): Found {
    return search(this.child.pid ?? 0, wanted);
  }

  async stop(): Promise<void> {
    if (this.child.connected) this.child.disconnect();
    await this.#exited;
  }
}

/** Everything by which a spec's key could be found again, but for what depends on the hellos' ephemeral keys. */
function keysOf(key: Buffer, attempt: WireAttempt): Record<string, Buffer> {
  const plain = toAttempt(attempt);
  const context = contextHash(plain);
  const root = extract(plain.nonce, key);
  return { key, root, hello: expand(root, 'hello', context), dh: expand(root, 'dh', context) };
}

describe('keys in the memory of two agents', () => {
  let source: Agent;
  let destination: Agent;
  let all: readonly Agent[];

  before(async () => {
    source = new Agent('source');
    destination = new Agent('destination');
    all = [source, destination];
    // Once they have answered, they have loaded all there is to load.
    for (const agent of all) agent.order({ kind: 'offer' });
    await Promise.all(all.map((agent) => agent.hear('offer')));
  });
  after(() => Promise.all([source, destination].map((agent) => agent?.stop())));

  /** Opens all channels. @returns what can be searched for */
  async function start(): Promise<Record<string, Buffer>> {
    const random = (length: number) => randomBytes(length).toString('base64url');
    const attempt: WireAttempt = {
      protocolVersion: 1,
      migration: randomUUID(),
      attempt: 1,
      nonce: random(8),
      suite: 'aes-256-gcm',
      sourceKeyHash: random(32),
      destinationKeyHash: random(32),
      channels,
      limits: { bandwidthBytesPerSecond: 0, downtimeMs: 30, deadlineMs: 60_000, autoConverge: false },
      expiresAt: 2_000_000_000_000,
    };
    const key = randomBytes(32);
    const context = contextHash(toAttempt(attempt));
    const wrapped = await Promise.all(
      all.map(async (agent) => {
        agent.order({ kind: 'offer' });
        const { publicKey } = await agent.hear('offer');
        return wrapKey(key, Buffer.from(publicKey, 'base64url'), context);
      }),
    );
    const [forSource, forDestination] = wrapped;
    assert.ok(forSource && forDestination);
    destination.order({ kind: 'start', attempt, wrapped: forDestination, addresses: [{ host: '127.0.0.1', port: 0 }] });
    const { addresses } = await destination.hear('listening');
    const keys = keysOf(key, attempt);
    assert.deepEqual(
      present(destination.search(keys)),
      ['hello', 'dh'],
      'while hellos are to come, what they need is there, the key is not',
    );
    source.order({ kind: 'start', attempt, wrapped: forSource, addresses });
    await Promise.all(all.map((agent) => agent.hear('confirmed')));
    return keys;
  }

  async function end(how: 'orderly' | 'dropped'): Promise<void> {
    for (const agent of all) agent.order({ kind: 'end', how });
    await Promise.all(all.map((agent) => agent.hear('ended')));
  }

  /** Schedules that both processes have: a random generator's, which are AES-256 as well, are each process's own. */
  const common = ([one, other]: readonly Found[]): Set<string> =>
    new Set([...(one?.schedules ?? [])].filter((key) => other?.schedules.has(key)));

  for (const how of ['orderly', 'dropped'] as const) {
    it(`are found while the channels live, and not after an end that is ${how}`, async () => {
      // Some are the same everywhere, such as those of OpenSSL's self-tests.
      const always = common(all.map((agent) => agent.search({})));
      const keys = await start();
      source.order({ kind: 'stream' });
      await source.hear('streamed');
      const live = all.map((agent) => agent.search(keys));
      const channelKeys = [...common(live)].filter((key) => !always.has(key));
      assert.equal(channelKeys.length, 2 * channels, 'one key schedule for each direction of each channel is there');
      for (const [i, found] of live.entries()) {
        assert.deepEqual(present(found), [], `${names[i]}: the spec's key and all of it are gone once the last channel is confirmed`);
      }
      await end(how);
      const wanted = { ...keys, ...Object.fromEntries(channelKeys.map((key, i) => [`channel key ${i}`, Buffer.from(key, 'hex')])) };
      const left = all.map((agent) => agent.search(wanted));
      // A schedule begins with its key, so this is about schedules too.
      for (const [i, found] of left.entries()) assert.deepEqual(present(found), [], `${names[i]}: still there`);
      assert.deepEqual(
        [...common(left)].filter((key) => !always.has(key)),
        [],
        'no key is left that both ends have',
      );
    });
  }
});

const names = ['source', 'destination'];
const present = (found: Found): string[] => Object.keys(found.bytes).filter((name) => found.bytes[name] !== 0);
