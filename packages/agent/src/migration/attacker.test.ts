/**
 * A real VM on its way from one agent to another, with an attacker inside its confirmed channels, in a network namespace:
 *
 *     alpha 127.0.0.1 ── attacker ── 127.0.0.2 bravo ── ear ── the destination's QEMU
 *
 * Whatever is done, the guest runs on where it was, and what reached the destination's QEMU is the beginning of what was sent. One guest
 * goes through all of it on one stream, another with multifd.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { queryRunState } from '@sealift/hypervisor';
import { type Attack, attackOn, flipped, late, nothing, type Unit, type Which } from '@sealift/transport/testing';
import { attackedMove } from '../testing/attacked-move.ts';
import { testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const [confirm, data, close, ping] = [0x01, 0x02, 0x03, 0x10];
const header = 16;
const tag = 16;
const toDestination = { direction: 'to destination' } as const;
/** QEMU's main stream, from its second record on. */
const main: Which = { ...toDestination, channel: 1, type: data, sequence: 2 };
const mainClose: Which = { ...toDestination, channel: 1, type: close };

interface Case {
  /** Whose report says what was noticed. */
  readonly at: 'source' | 'destination';
  readonly code: string;
  readonly attack: () => Attack;
}

const found = (attack: () => Attack, at: Case['at'] = 'destination', code = 'record'): Case => ({ at, code, attack });
const changed = (bit: (unit: Unit) => number, which = main) => found(() => attackOn(which, (unit) => flipped(unit.bytes, bit(unit))));

const ended = (which: Which, share: (length: number) => number): Case =>
  found(
    () =>
      attackOn(which, ({ wire, direction, bytes }) => {
        wire.send(direction, bytes.subarray(0, share(bytes.length)));
        wire.finish(direction);
        return nothing;
      }),
    'destination',
    'truncated',
  );

const broken = (share: (length: number) => number): Case =>
  found(
    () =>
      attackOn(main, ({ wire, direction, bytes }) => {
        wire.send(direction, bytes.subarray(0, share(bytes.length)));
        wire.cut();
        return nothing;
      }),
    'source',
    'truncated',
  );

const cases: Record<string, Case> = {
  'a bit of a header: type': changed(() => 4),
  'a bit of a header: zero byte': changed(() => 8),
  'a bit of a header: channel': changed(() => 31),
  'a bit of a header: length': changed(() => 63),
  'a bit of a header: sequence number': changed(() => 127),
  'a bit of the payload': changed(() => header * 8 + 2),
  'the payload’s last bit': changed(({ bytes }) => (bytes.length - tag) * 8 - 1),
  'a bit of a tag': changed(({ bytes }) => bytes.length * 8 - 1),
  'any bit': changed(({ bytes }) => 64 + (randomBytes(4).readUInt32BE() % (bytes.length * 8 - 64))),
  'a bit of CLOSE': changed(() => 140, mainClose),
  'a bit of a PING': changed(() => 300, { ...toDestination, type: ping }),
  'a bit of a PING to the source': found(
    () => attackOn({ direction: 'to source', type: ping }, ({ bytes }) => flipped(bytes, 300)),
    'source',
  ),
  'CONFIRM with a bit changed': found(
    () => attackOn({ channel: 1, type: confirm }, ({ bytes }) => flipped(bytes, 200)),
    'source',
    'truncated',
  ),
  'a record repeated': found(() => attackOn(main, ({ bytes }) => Buffer.concat([bytes, bytes]))),
  'a record left out': found(() => attackOn(main, () => nothing)),
  'two records in each other’s place': found(() => late(main)),
  'garbage inserted': found(() => attackOn(main, ({ bytes }) => Buffer.concat([randomBytes(64), bytes]))),
  'a record thrown back at its sender': found(
    () =>
      attackOn(main, ({ wire, bytes }) => {
        wire.send('to source', bytes);
        return wire.stall();
      }),
    'source',
  ),
  'the stream ended between two records': ended(main, () => 0),
  'the stream ended within a header': ended(main, () => 9),
  'the stream ended behind a header': ended(main, () => header),
  'the stream ended within a payload': ended(main, (length) => length >> 1),
  'the stream ended before a tag': ended(main, (length) => length - tag),
  'the stream ended a byte before the end of a record': ended(main, (length) => length - 1),
  'the stream ended in place of CLOSE': ended(mainClose, () => 0),
  'the stream ended within CLOSE': ended(mainClose, () => header + 4),
  'the connection broken between two records': broken(() => 0),
  'the connection broken within a record': broken(() => 9),
  'a byte behind CLOSE': found(() => attackOn(mainClose, ({ bytes }) => Buffer.concat([bytes, Buffer.of(0)]))),
};

withTwoHosts({ title: 'migrations with an attacker in their channels', file: import.meta.url }, (hosts) => {
  // Half a second or more: so slow that the attack is noticed long before the grant, after which the source's code is another.
  const limits = { bandwidthBytesPerSecond: 250_000 };

  async function check(vm: string, channels: number, { at, code, attack }: Case): Promise<void> {
    const { source, destination } = await hosts().endsOf(vm);
    const spec = testSpec(source, destination, { channels, limits });
    const moved = await attackedMove({ hosts: hosts(), source, destination, vm, spec, attack: attack() });
    assert.deepEqual([moved.source.phase, moved.destination.phase], ['failed', 'failed'], moved.said);
    assert.equal(moved[at].failure?.code, code, moved.said);
    assert.equal(await queryRunState(source.host.vms.vm(vm).monitor), 'running');
    assert.deepEqual(hosts().left(source, vm, spec.migration), runsHere);
    assert.deepEqual(hosts().left(destination, vm, spec.migration), nothingLeft);
    assert.equal(moved.destinationQemu, false);
    assert.ok(!moved.ran.includes('destination'));
  }

  describe('the guest runs on at the source, and nothing is left of the attempt', { concurrency: true }, () => {
    for (const [streams, channels] of [
      ['one stream', 2],
      ['multifd', 4],
    ] as const) {
      describe(`with ${streams}, after`, { concurrency: false }, () => {
        for (const [name, each] of Object.entries(cases)) it(name, () => check(`web-${channels}`, channels, each));
      });
    }
  });

  it('and the ear would hear it: in suite `none`, which does not promise it, a changed payload reaches QEMU', async () => {
    const { source, destination } = await hosts().endsOf('clear');
    const spec = testSpec(source, destination, { suite: 'none', limits });
    const { attack } = changed(({ bytes }) => (bytes.length - tag) * 8 - 1, { ...main, channel: 2 });
    await assert.rejects(
      attackedMove({ hosts: hosts(), source, destination, vm: 'clear', spec, attack: attack() }),
      /QEMU got what was never sent/,
    );
  });
});
