/** What every agent must do, run on the fake one here and on the real one where there is QEMU. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { agentApi, Client, MigrationSpec, VmDefinition } from '@sealift/contract';
import { contextOf } from '../migrations/spec/context.ts';
import { wrapKey } from '../migrations/spec/wrap.ts';

export interface AgentUnderTest {
  readonly client: Client<typeof agentApi>;
  /** A small VM that this host can run, without disks that must be there. */
  readonly definition: (name: string) => VmDefinition;
  readonly close: () => Promise<void>;
}

const code = (expected: string) => (error: unknown) => error instanceof Error && 'code' in error && error.code === expected;

/** @param open an agent without VMs; the suite closes it */
export function agentCompliance(name: string, open: () => Promise<AgentUnderTest>): void {
  describe(`agent: ${name}`, () => {
    let agent: AgentUnderTest;
    before(async () => {
      agent = await open();
    });
    after(() => agent.close());
    const call = () => agent.client;

    it('says what its host is', async () => {
      const report = await call().host();
      assert.match(report.keyHash, /^[0-9a-f]{64}$/);
      assert.equal(report.protocolVersion, 1);
      assert.match(report.qemu.version, /^\d+\.\d+/);
      assert.ok(report.qemu.machines.includes(agent.definition('any').machine));
      assert.ok(report.cpus >= 1);
      assert.ok(report.memory.available <= report.memory.total);
      assert.ok(report.migrationEndpoints.length >= 1);
      assert.deepEqual(report.vms, []);
    });

    it('defines, starts, stops and forgets a VM, and refuses what makes no sense', async () => {
      const definition = agent.definition('compliance');
      const params = { vm: 'compliance' };
      const defined = await call().defineVm({ body: definition });
      assert.equal(defined.state, 'stopped');
      assert.deepEqual(defined.definition, definition);
      await assert.rejects(call().defineVm({ body: definition }), code('already_exists'));
      await assert.rejects(call().stopVm({ params, body: { force: false } }), code('wrong_state'));

      assert.equal((await call().startVm({ params })).state, 'running');
      await assert.rejects(call().startVm({ params }), code('wrong_state'));
      await assert.rejects(call().removeVm({ params }), code('wrong_state'));
      assert.deepEqual(
        (await call().host()).vms.map((vm) => [vm.definition.name, vm.state]),
        [['compliance', 'running']],
      );

      assert.equal((await call().stopVm({ params, body: { force: true } })).state, 'stopped');
      await call().removeVm({ params });
      await assert.rejects(call().getVm({ params }), code('not_found'));
      assert.deepEqual((await call().host()).vms, []);
    });

    it('knows no VM and no migration that it was not told of', async () => {
      const params = { vm: 'nobody' };
      await assert.rejects(call().getVm({ params }), code('not_found'));
      await assert.rejects(call().startVm({ params }), code('not_found'));
      await assert.rejects(call().stopVm({ params, body: { force: true } }), code('not_found'));
      await assert.rejects(call().removeVm({ params }), code('not_found'));
      const unknown = { params: { migration: randomUUID() } };
      await assert.rejects(call().getAttempt(unknown), code('not_found'));
      await assert.rejects(call().cancelAttempt(unknown), code('not_found'));
      await assert.rejects(call().watchAttempt(unknown).next(), code('not_found'));
    });

    it('offers a new key each time', async () => {
      const body = { migration: randomUUID(), attempt: 1 };
      const offers = [await call().offerKey({ body }), await call().offerKey({ body })];
      for (const { publicKey } of offers) assert.match(publicKey, /^[A-Za-z0-9_-]{43}$/);
      assert.notEqual(offers[0]?.publicKey, offers[1]?.publicKey);
    });

    it('refuses to move a VM that it has not or that is stopped, a spec for another host, and a key that was not wrapped for it', async () => {
      const { name: self, keyHash } = await call().host();
      const specFor = (source: MigrationSpec['source']): MigrationSpec => ({
        protocolVersion: 1,
        migration: randomUUID(),
        attempt: 1,
        nonce: randomBytes(8).toString('base64url'),
        suite: 'aes-256-gcm',
        source,
        destination: { name: 'elsewhere', keyHash: 'ab'.repeat(32) },
        channels: 2,
        limits: {
          bandwidthBytesPerSecond: 0,
          downtimeMs: 30,
          maxDowntimeMs: 300,
          deadlineMs: 60_000,
          maxThrottlePercent: 80,
          postcopy: false,
        },
        expiresAt: Date.now() + 60_000,
      });
      const outgoing = async (vm: string, spec: MigrationSpec, context = contextOf(spec)) => {
        const { publicKey } = await call().offerKey({ body: { migration: spec.migration, attempt: 1 } });
        const key = wrapKey(randomBytes(32), Buffer.from(publicKey, 'base64url'), context);
        return call().outgoing({ body: { spec, key, vm, endpoints: ['127.0.0.1:1'], peer: '127.0.0.1:1' } });
      };
      const here = { name: self, keyHash };
      await assert.rejects(outgoing('nobody', specFor(here)), code('not_found'));

      await call().defineVm({ body: agent.definition('still') });
      try {
        await assert.rejects(outgoing('still', specFor(here)), code('wrong_state'));
      } finally {
        await call().removeVm({ params: { vm: 'still' } });
      }

      await call().defineVm({ body: agent.definition('moving') });
      try {
        await call().startVm({ params: { vm: 'moving' } });
        await assert.rejects(outgoing('moving', specFor({ name: self, keyHash: 'cd'.repeat(32) })), code('invalid_request'));
        await assert.rejects(outgoing('moving', specFor(here), randomBytes(32)), code('invalid_request'));
        assert.equal((await call().getVm({ params: { vm: 'moving' } })).state, 'running');
      } finally {
        await call().stopVm({ params: { vm: 'moving' }, body: { force: true } });
        await call().removeVm({ params: { vm: 'moving' } });
      }
    });
  });
}
