import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { queryMigration, untilMigration } from '../migration.ts';
import { queryRunState, quit } from '../run-state.ts';
import { FakeQemu, FakeRefusal } from '../testing/fake-qemu.ts';
import { QmpClient } from './client.ts';
import { QmpError } from './error.ts';

/** What a real QEMU cannot be made to do at will: garbage, silence, sudden ends. */
const withFake = (run: (fake: FakeQemu, client: QmpClient, garbage: string[]) => Promise<void>) => async () => {
  const directory = await mkdtemp(join(tmpdir(), 'hv-'));
  try {
    const socket = join(directory, 'qmp');
    await using fake = await FakeQemu.start({ qmpSockets: [socket] });
    const garbage: string[] = [];
    const client = await QmpClient.connect(socket, { onGarbage: (reason) => garbage.push(reason) });
    await run(fake, client, garbage);
    client.close();
  } finally {
    await rm(directory, { recursive: true });
  }
};
const withCode = (code: string) => (error: unknown) => error instanceof QmpError && error.code === code;
const never = () => new Promise(() => {});

it(
  'rejects at the deadline and drops the late answer',
  withFake(async (fake, client) => {
    const late = Promise.withResolvers<unknown>();
    fake.answer('stop', () => late.promise);
    await assert.rejects(client.execute('stop', undefined, { deadlineMs: 20 }), withCode('timeout'));
    late.resolve({});
    assert.equal(await queryRunState(client), 'running');
  }),
);

it(
  'rejects when the caller gives up, with the reason',
  withFake(async (fake, client) => {
    fake.answer('stop', never);
    const giveUp = new AbortController();
    const stopping = client.execute('stop', undefined, { signal: giveUp.signal });
    giveUp.abort('enough');
    await assert.rejects(stopping, (error) => error instanceof QmpError && error.code === 'aborted' && error.cause === 'enough');
  }),
);

it(
  'rejects everything under way when the connection ends',
  withFake(async (fake, client) => {
    fake.answer('stop', never);
    const all = Promise.allSettled([client.execute('stop'), client.execute('cont'), client.execute('query-status')]);
    setImmediate(() => fake.dropClients());
    for (const one of await all) assert.ok(one.status === 'rejected' && withCode('disconnected')(one.reason));
    assert.equal((await client.closed).code, 'disconnected');
    await quit(client); // to be gone is what was wished for
  }),
);

it(
  'goes on after garbage and answers that nobody asked for',
  withFake(async (fake, client, garbage) => {
    fake.emitRaw('warning: nonsense\r\n{"return": 1, "id": 999}\r\n{"error": {"class": "GenericError", "desc": "what?"}}\r\n');
    assert.equal(await queryRunState(client), 'running');
    assert.equal(garbage.length, 2);
  }),
);

it(
  'carries QEMU’s class and words',
  withFake(async (fake, client) => {
    fake.answer('cont', () => {
      throw new FakeRefusal('Failed to get "write" lock');
    });
    await assert.rejects(client.execute('cont'), (error) => {
      assert.ok(error instanceof QmpError);
      assert.equal(error.message, 'cont: Failed to get "write" lock');
      assert.equal(error.qemuClass, 'GenericError');
      return error.code === 'command';
    });
  }),
);

it(
  'does not take a state for another that it does not know',
  withFake(async (fake, client) => {
    fake.answer('query-status', () => ({ status: 'dreaming', running: false }));
    fake.answer('query-migrate', () => ({ status: 'dreaming' }));
    await assert.rejects(queryRunState(client), withCode('protocol'));
    await assert.rejects(queryMigration(client), withCode('protocol'));
  }),
);

it(
  'stops waiting for a migration when the connection ends',
  withFake(async (fake, client) => {
    const waiting = untilMigration(client, ['completed']);
    setTimeout(() => fake.dropClients(), 20);
    await assert.rejects(waiting, withCode('disconnected'));
  }),
);
