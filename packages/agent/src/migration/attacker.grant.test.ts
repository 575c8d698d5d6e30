/**
 * As attacker.test.ts, but the attack comes when the source has given the VM up: on GRANT, or on the answer to it. The VM may then have to stay
 * paused at the source, in doubt, until the hosts have settled it; it never runs twice. Here they do not reach each other but over the attacked
 * line, so that what is in doubt stays so until somebody carries the destination's statement. Each guest is a case's own, and all wait at once.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { queryRunState } from '@sealift/hypervisor';
import { type Attack, attackOn, flipped, nothing, silence, type Unit, type Which } from '@sealift/transport/testing';
import type { RunningAgent } from '../run.ts';
import { attackedMove } from '../testing/attacked-move.ts';
import { follow, testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

/** Nobody answers there. */
const apart = (agent: RunningAgent): RunningAgent => ({ ...agent, endpoint: '127.0.0.9:1' });

const header = 16;
const grant: Which = { direction: 'to destination', channel: 0, type: 0x11 };
const running: Which = { direction: 'to source', channel: 0, type: 0x12 };

interface Case {
  readonly attack: () => Attack;
  /** The destination's failure; undefined where it runs the VM. */
  readonly code: string | undefined;
}

const ended = ({ wire, direction }: Unit): Buffer => {
  wire.finish(direction);
  return nothing;
};
const broken = ({ wire }: Unit): Buffer => {
  wire.cut();
  return nothing;
};
/** Nothing more goes through that way. What the destination finds amiss is then channel 0 itself, so it cannot say ABORTED. */
const held: Attack = ({ wire }) => wire.stall();

const inDoubt: Record<string, Case> = {
  'a bit of GRANT’s header': { attack: () => attackOn(grant, ({ bytes }) => flipped(bytes, 127)), code: 'record' },
  'a bit of GRANT’s payload': { attack: () => attackOn(grant, ({ bytes }) => flipped(bytes, header * 8 + 7)), code: 'record' },
  'a bit of GRANT’s tag': { attack: () => attackOn(grant, ({ bytes }) => flipped(bytes, bytes.length * 8 - 1)), code: 'record' },
  'GRANT left out': { attack: () => attackOn(grant, () => nothing), code: 'record' },
  'the stream ended in place of GRANT': { attack: () => attackOn(grant, ended), code: 'truncated' },
  'the connection broken in place of GRANT': { attack: () => attackOn(grant, broken), code: 'truncated' },
  'GRANT withheld, the way back left open': { attack: () => attackOn(grant, held), code: 'peer' },
  'GRANT withheld, and everything after it': { attack: () => silence(grant, () => 0), code: 'peer' },
  'half of GRANT withheld, and everything after it': { attack: () => silence(grant, (length) => length >> 1), code: 'peer' },
  'a bit of RUNNING': { attack: () => attackOn(running, ({ bytes }) => flipped(bytes, 127)), code: undefined },
  'the stream ended in place of RUNNING': { attack: () => attackOn(running, ended), code: undefined },
  'RUNNING withheld, and everything after it': { attack: () => silence(running, () => 0), code: undefined },
};

withTwoHosts({ title: 'migrations attacked after the grant', file: import.meta.url }, (hosts) => {
  describe('the VM is paused at the source, in doubt, and nobody there can run it until the destination is heard, after', {
    concurrency: true,
  }, () => {
    for (const [i, [name, { attack, code }]] of Object.entries(inDoubt).entries()) {
      it(`${name}: ${code ? 'it runs nowhere' : 'it runs at the destination alone'}`, async () => {
        const vm = `doubt-${i}`;
        const ends = await hosts().boot(vm);
        const [source, destination] = [apart(ends.source), apart(ends.destination)];
        const spec = testSpec(source, destination);
        const until = ({ phase }: { phase: string }) => phase === 'in-doubt';
        const moved = await attackedMove({ hosts: hosts(), source, destination, vm, spec, attack: attack(), until });
        assert.equal(moved.source.phase, 'in-doubt', moved.said);
        assert.equal(moved.destination.failure?.code, code, moved.said);
        assert.equal(moved.destination.phase, code ? 'failed' : 'completed');
        assert.deepEqual(moved.ran, code ? [] : ['destination']);

        const here = source.host.vms.vm(vm);
        assert.equal(here.state, 'in-doubt');
        assert.notEqual(await queryRunState(here.monitor), 'running');
        await assert.rejects(source.host.vms.start(vm), { code: 'migrating' });
        await assert.rejects(source.attempts.cancel(spec.migration), { code: 'wrong_state' });
        assert.deepEqual(hosts().left(destination, vm, spec.migration), code ? nothingLeft : runsHere);
        assert.equal(moved.destinationQemu, code === undefined);
        if (!code) assert.equal(await queryRunState(destination.host.vms.vm(vm).monitor), 'running');

        const challenge = randomBytes(16).toString('base64url');
        const { statement } = await destination.attempts.settle(spec.migration, { attempt: 1, challenge });
        await source.attempts.settle(spec.migration, { attempt: 1, challenge, ...(statement && { statement }) });
        const settled = await follow(source, spec.migration);
        assert.equal(settled.phase, code ? 'failed' : 'completed', settled.failure?.message);
        assert.deepEqual(hosts().left(source, vm, spec.migration), code ? runsHere : nothingLeft);
        if (code) assert.equal(await queryRunState(source.host.vms.vm(vm).monitor), 'running');
      });
    }
  });
});
