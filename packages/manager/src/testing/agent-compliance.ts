/** What every agent must do, run on the fake one here and on the real one where there is QEMU. */

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { AttemptReport, agentApi, Client, Disk, MigrationSpec, VmDefinition } from '@sealift/contract';
import { contextOf } from '../migrations/spec/context.ts';
import { toLimits } from '../migrations/spec/limits.ts';
import { wrapKey } from '../migrations/spec/wrap.ts';
import { complying } from './complying.ts';
import { isSignedBy } from './statements.ts';

export interface AgentUnderTest {
  readonly client: Client<typeof agentApi>;
  /** A small VM that this host can run, without disks that must be there. */
  readonly definition: (name: string) => VmDefinition;
  readonly close: () => Promise<void>;
}

const code = (expected: string) => (error: unknown) => error instanceof Error && 'code' in error && error.code === expected;

/** What an agent that only plays one may lack: disks in pools, whether a key was wrapped for it, signed statements and limits that change. */
type Lack = 'pools' | 'keys' | 'settlement';

/**
 * @param open an agent without VMs; the suite closes it
 * @param lacks what is passed over
 */
export function agentCompliance(name: string, open: () => Promise<AgentUnderTest>, lacks: readonly Lack[] = []): void {
  const unless = (lack: Lack) => ({ skip: lacks.includes(lack) });
  describe(`agent: ${name}`, () => {
    let agent: AgentUnderTest;
    before(async () => {
      const opened = await open();
      agent = { ...opened, client: complying(opened.client) };
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
      assert.equal(report.canSeal, true);
      assert.equal(typeof report.aesInstructions, 'boolean');
      const { cpuModel } = agent.definition('any');
      assert.ok(report.cpu && report.cpu.model !== '' && report.cpu.usable.includes(cpuModel));
      assert.ok(
        !Object.keys(report.cpu.missing).some((model) => report.cpu?.usable.includes(model)),
        'a model is in one list or the other',
      );
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

    it('makes disks in pools together with a VM, of images too, and removes them with it', unless('pools'), async () => {
      const directory = await mkdtemp(join(tmpdir(), 'sealift-compliance-'));
      try {
        const [pool] = (await call().host()).pools ?? [];
        assert.ok(pool && pool.available <= pool.total);
        const path = join(directory, 'base.img');
        await writeFile(path, Buffer.alloc(2 ** 20));
        const image = { pool: pool.name, name: 'base.raw' };
        assert.equal((await call().importImage({ body: { ...image, path } })).sizeBytes, 2 ** 20);
        await assert.rejects(call().importImage({ body: { ...image, path } }), code('already_exists'));
        await assert.rejects(call().importImage({ body: { ...image, name: 'no', path: `${path}.no` } }), code('not_found'));

        const disk = { pool: pool.name, name: 'data', format: 'qcow2', shared: false } as const;
        const vm = (name: string, ...disks: Disk[]) => ({ body: { ...agent.definition(name), disks } });
        const clone = { ...disk, name: 'root', image: 'base.raw', clone: true };
        await assert.rejects(call().defineVm(vm('stored', { ...disk, pool: 'nowhere', sizeMiB: 1 })), code('no_room'));
        await assert.rejects(call().defineVm(vm('stored', { ...clone, image: 'no' })), code('not_found'));
        await assert.rejects(call().defineVm(vm('stored', disk)), code('invalid_request'));
        await call().defineVm(vm('stored', clone));
        const params = { vm: 'stored' };
        await call().changeVm({ params, ...vm('stored', clone, { ...disk, sizeMiB: 1 }) });
        await assert.rejects(call().changeVm({ params, ...vm('stored', { ...disk, sizeMiB: 2 }) }), code('invalid_request'));
        const [listed] = await call().listImages();
        assert.deepEqual([listed?.name, listed?.format, listed?.usedBy.length], ['base.raw', 'raw', 1]);
        const removal = { params: { pool: pool.name, image: 'base.raw' } };
        await assert.rejects(call().removeImage(removal), code('wrong_state'));
        assert.equal((await call().removeVm({ params })).removedDisks?.length, 2);
        await call().removeImage(removal);
        await assert.rejects(call().removeImage(removal), code('not_found'));

        const kept = vm('kept', { ...disk, sizeMiB: 1 });
        await call().defineVm(kept);
        assert.equal((await call().removeVm({ params: { vm: 'kept' }, query: { keepDisks: true } })).keptDisks?.length, 1);
        await assert.rejects(call().defineVm(kept), code('already_exists'));
      } finally {
        await rm(directory, { recursive: true });
      }
    });

    it('suspends, resumes and resets what has power, as often as it is told; says what may change when', async () => {
      const definition = agent.definition('lively');
      const params = { vm: 'lively' };
      const orders = [call().suspendVm, call().resumeVm, call().resetVm];
      for (const order of orders) await assert.rejects(order({ params }), code('not_found'));
      await assert.rejects(call().changeVm({ params, body: definition }), code('not_found'));
      await call().defineVm({ body: definition });
      try {
        for (const order of orders) await assert.rejects(order({ params }), code('wrong_state'));
        const other = { ...definition, memoryMiB: definition.memoryMiB + 32 };
        await assert.rejects(call().changeVm({ params, body: { ...definition, name: 'other' } }), code('invalid_request'));
        assert.deepEqual((await call().changeVm({ params, body: other })).definition, other);

        await call().startVm({ params });
        for (const state of ['paused', 'paused']) assert.equal((await call().suspendVm({ params })).state, state);
        assert.equal((await call().resetVm({ params })).state, 'paused');
        for (const state of ['running', 'running']) assert.equal((await call().resumeVm({ params })).state, state);
        assert.equal((await call().resetVm({ params })).state, 'running');

        await assert.rejects(call().changeVm({ params, body: definition }), code('wrong_state'));
        const { encryption: _, ...byCluster } = other;
        for (const body of [{ ...other, encryption: 'disabled' } as const, byCluster, byCluster]) {
          assert.deepEqual((await call().changeVm({ params, body })).definition, body);
        }
        assert.equal((await call().getVm({ params })).state, 'running');
      } finally {
        await call().stopVm({ params, body: { force: true } });
        await call().removeVm({ params });
      }
    });

    it('touches no VM that a migration has its hand on', async () => {
      const { params: attempt } = await arriving(agent, 'held');
      const params = { vm: 'held' };
      for (const order of [call().suspendVm, call().resumeVm, call().resetVm]) await assert.rejects(order({ params }), code('migrating'));
      await assert.rejects(call().changeVm({ params, body: agent.definition('held') }), code('migrating'));
      await call().cancelAttempt({ params: attempt });
      await ended(agent, attempt.migration);
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
      await assert.rejects(call().settleAttempt({ ...unknown, body: { attempt: 1, challenge: challenge() } }), code('not_found'));
      await assert.rejects(call().resolveAttempt({ ...unknown, body: { attempt: 1, keep: 'source' } }), code('not_found'));
      await assert.rejects(call().adjustAttempt({ ...unknown, body: { deadlineMs: 5000 } }), code('not_found'));
    });

    it('offers a new key each time', async () => {
      const body = { migration: randomUUID(), attempt: 1 };
      const offers = [await call().offerKey({ body }), await call().offerKey({ body })];
      for (const { publicKey } of offers) assert.match(publicKey, /^[A-Za-z0-9_-]{43}$/);
      assert.notEqual(offers[0]?.publicKey, offers[1]?.publicKey);
    });

    it('refuses to send or take in the clear what its own definition wants sealed', async () => {
      const { name, keyHash } = await call().host();
      const here = { name, keyHash };
      const clear = (source: MigrationSpec['source'], destination: MigrationSpec['destination']): MigrationSpec => ({
        ...specOf(source, destination),
        suite: 'none',
      });
      const vm = { ...agent.definition('secret'), encryption: 'required' as const };
      const coming = clear(elsewhere, here);
      const key = await wrappedFor(call(), coming, contextOf(coming));
      await assert.rejects(call().incoming({ body: { spec: coming, key, vm, peer: '127.0.0.1:1' } }), code('encryption_required'));
      await call().defineVm({ body: vm });
      try {
        await call().startVm({ params: { vm: 'secret' } });
        const going = clear(here, elsewhere);
        await assert.rejects(orderOutgoing(call(), 'secret', going, contextOf(going)), code('encryption_required'));
        await call().stopVm({ params: { vm: 'secret' }, body: { force: true } });
      } finally {
        await call().removeVm({ params: { vm: 'secret' } });
      }
    });

    it('refuses to move a VM that it has not or that is stopped, and a spec for another host', async () => {
      const { name: self, keyHash } = await call().host();
      const outgoing = (vm: string, spec: MigrationSpec) => orderOutgoing(call(), vm, spec, contextOf(spec));
      const here = { name: self, keyHash };
      await assert.rejects(outgoing('nobody', specOf(here, elsewhere)), code('not_found'));

      await call().defineVm({ body: agent.definition('still') });
      try {
        await assert.rejects(outgoing('still', specOf(here, elsewhere)), code('wrong_state'));
        await call().startVm({ params: { vm: 'still' } });
        await assert.rejects(outgoing('still', specOf({ name: self, keyHash: 'cd'.repeat(32) }, elsewhere)), code('invalid_request'));
        assert.equal((await call().getVm({ params: { vm: 'still' } })).state, 'running');
      } finally {
        await call().stopVm({ params: { vm: 'still' }, body: { force: true } });
        await call().removeVm({ params: { vm: 'still' } });
      }
    });

    it('refuses a key that was not wrapped for it', unless('keys'), async () => {
      const { name: self, keyHash } = await call().host();
      const params = { vm: 'moving' };
      await call().defineVm({ body: agent.definition('moving') });
      try {
        await call().startVm({ params });
        const spec = specOf({ name: self, keyHash }, elsewhere);
        await assert.rejects(orderOutgoing(call(), 'moving', spec, randomBytes(32)), code('invalid_request'));
        assert.equal((await call().getVm({ params })).state, 'running');
      } finally {
        await call().stopVm({ params, body: { force: true } });
        await call().removeVm({ params });
      }
    });

    it("tells nobody what it has not decided, and believes no statement but the other host's", unless('settlement'), async () => {
      const { destination, body, params } = await arriving(agent, 'settled');
      assert.deepEqual(await call().settleAttempt({ params, body }), {});
      await assert.rejects(call().settleAttempt({ params, body: { ...body, attempt: 2 } }), code('not_found'));
      const { statement } = await said(agent, 'other');
      assert.ok(statement);
      // Signed, but by this host, and about another attempt.
      for (const host of [destination.name, elsewhere.name]) {
        const forged = { ...statement, migration: params.migration, vm: 'settled', host, verdict: 'aborted' } as const;
        await assert.rejects(call().settleAttempt({ params, body: { ...body, statement: forged } }), code('not_authorised'));
      }
      assert.equal((await call().getVm({ params: { vm: 'settled' } })).state, 'moving-in');
      await call().cancelAttempt({ params });
      await ended(agent, params.migration);
    });

    it('signs what it has decided, with the challenge that it was asked with', unless('settlement'), async () => {
      const { statement, body, migration, self } = await said(agent, 'signed');
      assert.ok(statement && isSignedBy(statement, self.keyHash));
      assert.ok(!isSignedBy({ ...statement, verdict: 'running' }, self.keyHash), 'any other word is another statement');
      const { certificate: _, signature: __, ...words } = statement;
      assert.deepEqual(words, { migration, attempt: 1, vm: 'signed', host: self.name, verdict: 'aborted', challenge: body.challenge });
      // A decision that says the same changes nothing; the other one comes too late.
      const params = { migration };
      assert.equal((await call().resolveAttempt({ params, body: { attempt: 1, keep: 'source' } })).phase, 'cancelled');
      await assert.rejects(call().resolveAttempt({ params, body: { attempt: 1, keep: 'destination' } }), code('wrong_state'));
      await assert.rejects(call().resolveAttempt({ params, body: { attempt: 2, keep: 'source' } }), code('not_found'));
    });

    it('gives up what has not arrived where the source is kept, for good, and says so', unless('settlement'), async () => {
      const { params, body } = await arriving(agent, 'superseded');
      await assert.rejects(call().resolveAttempt({ params, body: { attempt: 1, keep: 'destination' } }), code('wrong_state'));
      await assert.rejects(call().adjustAttempt({ params, body: { deadlineMs: 5000 } }), code('wrong_state'));
      await call().resolveAttempt({ params, body: { attempt: 1, keep: 'source' } });
      const last = await ended(agent, params.migration);
      assert.deepEqual([last?.phase, last?.failure?.code, last?.resolved], ['failed', 'resolved', 'source']);
      await assert.rejects(call().getVm({ params: { vm: 'superseded' } }), code('not_found'));
      assert.equal((await call().settleAttempt({ params, body })).statement?.verdict, 'aborted');
      assert.equal((await call().resolveAttempt({ params, body: { attempt: 1, keep: 'source' } })).resolved, 'source');
    });

    it(
      'takes other limits before the grant, and keeps its VM where an administrator decides for the source',
      unless('settlement'),
      async () => {
        const { name: self, keyHash } = await call().host();
        const spec = specOf({ name: self, keyHash }, elsewhere);
        const params = { migration: spec.migration };
        await call().defineVm({ body: agent.definition('leaving') });
        try {
          await call().startVm({ params: { vm: 'leaving' } });
          await orderOutgoing(call(), 'leaving', spec, contextOf(spec));
          assert.equal((await call().adjustAttempt({ params, body: { bandwidthBytesPerSecond: 1_000_000 } })).migration, spec.migration);
          const body = { attempt: 1, challenge: challenge() };
          assert.deepEqual(await call().settleAttempt({ params, body }), {});
          await assert.rejects(call().resolveAttempt({ params, body: { attempt: 1, keep: 'destination' } }), code('wrong_state'));
          await call().resolveAttempt({ params, body: { attempt: 1, keep: 'source' } });
          assert.equal((await ended(agent, spec.migration))?.phase, 'cancelled');
          assert.equal((await call().getVm({ params: { vm: 'leaving' } })).state, 'running');
          assert.equal((await call().settleAttempt({ params, body })).statement?.verdict, 'aborted');
          await assert.rejects(call().adjustAttempt({ params, body: { deadlineMs: 5000 } }), code('wrong_state'));
        } finally {
          await call().stopVm({ params: { vm: 'leaving' }, body: { force: true } });
          await call().removeVm({ params: { vm: 'leaving' } });
        }
      },
    );
  });
}

const elsewhere = { name: 'elsewhere', keyHash: 'ab'.repeat(32) };
const challenge = (): string => randomBytes(16).toString('base64url');

const specOf = (source: MigrationSpec['source'], destination: MigrationSpec['destination']): MigrationSpec => ({
  protocolVersion: 1,
  migration: randomUUID(),
  attempt: 1,
  nonce: randomBytes(8).toString('base64url'),
  suite: 'aes-256-gcm',
  source,
  destination,
  channels: 2,
  limits: toLimits({ deadlineMs: 60_000 }),
  expiresAt: Date.now() + 60_000,
});

type AgentClient = AgentUnderTest['client'];

async function wrappedFor(client: AgentClient, spec: MigrationSpec, context: Buffer) {
  const { publicKey } = await client.offerKey({ body: { migration: spec.migration, attempt: 1 } });
  return wrapKey(randomBytes(32), Buffer.from(publicKey, 'base64url'), context);
}

async function orderOutgoing(client: AgentClient, vm: string, spec: MigrationSpec, context: Buffer, endpoint = '127.0.0.1:1') {
  const key = await wrappedFor(client, spec, context);
  return client.outgoing({ body: { spec, key, vm, endpoints: [endpoint], peer: '127.0.0.1:1' } });
}

/** A VM is on its way to the agent; nobody will ever send it. */
async function arriving(agent: AgentUnderTest, vm: string) {
  const { name, keyHash } = await agent.client.host();
  const destination = { name, keyHash };
  const spec = specOf(elsewhere, destination);
  const key = await wrappedFor(agent.client, spec, contextOf(spec));
  await agent.client.incoming({ body: { spec, key, vm: agent.definition(vm), peer: '127.0.0.1:1' } });
  return { destination, params: { migration: spec.migration }, body: { attempt: 1, challenge: challenge() } };
}

/** What the agent says of an attempt that was cancelled before the grant. */
async function said(agent: AgentUnderTest, vm: string) {
  const { params, body, destination } = await arriving(agent, vm);
  await agent.client.cancelAttempt({ params });
  await ended(agent, params.migration);
  const { statement } = await agent.client.settleAttempt({ params, body });
  return { statement, body, migration: params.migration, self: destination };
}

/** Its last report. */
async function ended(agent: AgentUnderTest, migration: string): Promise<AttemptReport | undefined> {
  let last: AttemptReport | undefined;
  for await (const report of agent.client.watchAttempt({ params: { migration } })) last = report;
  return last;
}
