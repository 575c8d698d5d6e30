/**
 * What becomes of a session when the network or a peer goes silent, between two processes on two hosts. The limits are 10 s, and the tests
 * wait for them: all at once. docs/protocol.md "When nothing comes".
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { needsRoot } from '../packages/agent/src/testing/namespace.ts';
import { tunables } from '../packages/transport/src/tunables.ts';
import { Ends } from './support/ends.ts';
import type { Host, Wire } from './support/wire.ts';

const hosts = ['source', 'destination'] as const;

/** Both ends are told to give the session up; nothing of it stays, and what had come out at the destination was what went in. */
async function leavesNothing(ends: Ends): Promise<void> {
  const [sent, received] = await Promise.all([ends.source.count(), ends.destination.count()]);
  assert.ok(received.bytes <= sent.bytes, `${received.bytes} bytes came out, ${sent.bytes} went in`);
  assert.equal(received.wrong, false, 'other bytes came out than went in');
  // In this order, so that the destination is there still to hear what the source says.
  for (const host of hosts) {
    ends.end(host).do({ kind: 'leave' });
    const { sockets, key } = await ends.end(host).says('left');
    assert.equal(sockets, 0, `${host}: sockets stay open`);
    assert.equal(key, '0'.repeat(64), `${host}: the key`);
  }
}

const codeAt = async (ends: Ends, host: Host): Promise<string> => (await ends.end(host).says('failed')).code;

async function completes(ends: Ends): Promise<void> {
  ends.source.do({ kind: 'finish' });
  await Promise.all(hosts.map((host) => ends.end(host).says('ended')));
  const [sent, received] = await Promise.all([ends.source.count(), ends.destination.count()]);
  assert.equal(received.bytes, sent.bytes);
  for (const host of hosts) assert.ok(!ends.end(host).failed);
  await leavesNothing(ends);
}

/** The destination's program reads nothing. @returns when no byte leaves the source any more */
async function fills(ends: Ends): Promise<void> {
  ends.destination.do({ kind: 'hold' });
  for (let before = -1, now = 0; now !== before; ) {
    await sleep(1_000);
    before = now;
    now = (await ends.source.count()).bytes;
  }
}

/** In both directions nothing comes through any more, not even that the other end has closed its connections. */
const silent = /^(peer|stalled)$/;
const halfSilent = /^(peer|stalled|truncated)$/;

const silences: Record<string, [RegExp, (wire: Wire) => Promise<void>]> = {
  'the source’s cable is pulled': [silent, (wire) => wire.pull('source', 0)],
  'the destination’s cable is pulled': [silent, (wire) => wire.pull('destination', 0)],
  'both directions are lost': [
    silent,
    async (wire) => {
      await wire.mute('source', 0);
      await wire.mute('destination', 0);
    },
  ],
  'the direction to the destination is lost': [halfSilent, (wire) => wire.mute('source', 0)],
  'the direction to the source is lost': [halfSilent, (wire) => wire.mute('destination', 0)],
};

describe('a session between two hosts', { concurrency: true, timeout: 240_000, skip: needsRoot }, () => {
  for (const [name, [codes, silence]] of Object.entries(silences)) {
    it(`fails at both ends when ${name}`, async () => {
      await using ends = await Ends.carrying();
      await silence(ends.wire);
      for (const host of hosts) assert.match(await codeAt(ends, host), codes);
      await leavesNothing(ends);
    });
  }

  for (const [name, host, prepare] of [
    ['is cut off at the source', 'source', undefined],
    ['is cut off at the destination', 'destination', undefined],
    ['is cut off while the destination’s program reads nothing', 'source', fills],
  ] as const) {
    it(`fails with \`stalled\` when the network of a data channel ${name}; channel 0 lives, and says ABORTED`, async () => {
      await using ends = await Ends.carrying(2);
      await prepare?.(ends);
      await ends.wire.pull(host, 1);
      assert.equal(await codeAt(ends, 'source'), 'stalled');
      assert.ok(!ends.destination.failed, 'nothing waits to be sent there, and the peer lives');
      await leavesNothing(ends);
      await ends.destination.says('control', ({ type }) => type === 'aborted');
    });
  }

  for (const host of hosts) {
    it(`fails with \`peer\` at the other end when the process of the ${host} is stopped`, async () => {
      await using ends = await Ends.carrying();
      ends.end(host).child.kill('SIGSTOP');
      assert.equal(await codeAt(ends, host === 'source' ? 'destination' : 'source'), 'peer');
      ends.end(host).child.kill('SIGCONT');
      assert.match(await codeAt(ends, host), /^(peer|truncated)$/);
      await leavesNothing(ends);
    });
  }

  it('goes on when the line is back after 4 s', async () => {
    await using ends = await Ends.carrying();
    await ends.wire.pull('source', 0);
    await sleep(4_000);
    await ends.wire.plug('source', 0);
    await ends.destination.carries(1024 * 1024);
    await completes(ends);
  });

  it('goes on when the destination’s program reads nothing for longer than any limit, and then again', async () => {
    await using ends = await Ends.carrying();
    await fills(ends);
    await sleep(2 * tunables.stallMs);
    for (const host of hosts) assert.ok(!ends.end(host).failed, JSON.stringify(ends.end(host).heard));
    ends.destination.do({ kind: 'go on' });
    await ends.destination.carries(1024 * 1024);
    await completes(ends);
  });
});
