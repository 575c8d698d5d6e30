/**
 * As attacker.test.ts, but a data channel is stalled while the VM stands still at the source and more of its state is on its way than sockets
 * take. It is not granted yet, so the deadline still holds, anybody may cancel, and the guest then runs on at once.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { it } from 'node:test';
import type { AttemptReport } from '@sealift/contract';
import { queryRunState } from '@sealift/hypervisor';
import type { Attack } from '@sealift/transport/testing';
import { attackedMove } from '../testing/attacked-move.ts';
import { testSpec } from '../testing/order.ts';
import { nothingLeft, runsHere } from '../testing/two-hosts.ts';
import { withTwoHosts } from '../testing/with-two-hosts.ts';

const data = 0x02;
const vm = 'web';
/** Of empty pages alone QEMU sends nine bytes each, so about 1.4 MB: more than lies in the sockets and records between it and the attacker. */
const memoryMiB = 640;

withTwoHosts({ title: 'migrations stalled while the VM stands still', file: import.meta.url }, (hosts) => {
  // The namespace's own. By default TCP may take in megabytes that nobody has read.
  writeFileSync('/proc/sys/net/ipv4/tcp_rmem', '4096 32768 32768');
  writeFileSync('/proc/sys/net/ipv4/tcp_wmem', '4096 16384 65536');

  for (const how of ['deadline', 'cancel'] as const) {
    it(`the guest runs on after ${how === 'deadline' ? 'the deadline' : 'a cancel'}`, async () => {
      const { source, destination } = await hosts().endsOf(vm, memoryMiB);
      // It may stop the VM for half an hour, so it does, at once, and has nearly all to send then.
      const limits = { bandwidthBytesPerSecond: 1_000_000, downtimeMs: 2_000_000, ...(how === 'deadline' && { deadlineMs: 6_000 }) };
      const spec = testSpec(source, destination, { channels: 2, limits });
      let stopped = false;
      const held = Promise.withResolvers<void>();
      source.host.vms.vm(vm).monitor.onEvent(({ name }) => {
        if (name === 'STOP') stopped = true;
      });
      const attack: Attack = ({ wire, type, direction }) => {
        if (!stopped || type !== data || direction !== 'to destination') return undefined;
        held.resolve();
        return wire.stall();
      };
      const during = async (): Promise<void> => {
        await held.promise;
        if (how === 'cancel') await source.attempts.cancel(spec.migration);
      };
      const moved = await attackedMove({ hosts: hosts(), source, destination, vm, spec, attack, during });
      const outcome = ({ phase, failure }: AttemptReport) => [phase, failure?.code];
      assert.deepEqual(outcome(moved.source), how === 'cancel' ? ['cancelled', 'cancelled'] : ['failed', 'migration_failed'], moved.said);
      assert.equal(moved.destination.phase, 'failed', moved.said);
      // ABORTED, or that the source closed its connections a moment later, whichever it comes to first.
      assert.match(moved.destination.failure?.code ?? '', /^(peer|truncated)$/, moved.said);
      assert.equal(await queryRunState(source.host.vms.vm(vm).monitor), 'running');
      assert.deepEqual(moved.ran, ['source']);
      assert.deepEqual(hosts().left(source, vm, spec.migration), runsHere);
      assert.deepEqual(hosts().left(destination, vm, spec.migration), nothingLeft);
      assert.equal(moved.destinationQemu, false);
    });
  }
});
