/**
 * Where a migration's keys are and where they are not any more: in the memory of the real manager and of both real agents, while a real VM moves
 * between them and after it has arrived, was cancelled, or its destination's QEMU has died.
 *
 * The daemons have told what their secrets were (tell.ts), so they can be looked for; and without being told, all AES-256 key schedules in their
 * memory are tried on the captured records. While the channels live both find, so that they can fail.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Capture } from '../../lab/src/capture/tcpdump.ts';
import { type ManagerClient, managerClient } from '../../lab/src/lab/api.ts';
import { bringUp, labOf, takeDown } from '../../lab/src/lab/lifecycle.ts';
import { switchPort } from '../../lab/src/topology/plan.ts';
import { bareVm } from '../../packages/agent/src/testing/bare-vm.ts';
import type { Migration, MigrationPhase } from '../../packages/contract/src/index.ts';
import { run } from '../support/lab.ts';
import { opens } from './gcm.ts';
import { firstRecords } from './records.ts';
import { type Found, formsOf, partsOf, search } from './scan.ts';
import { type Secrets, Told } from './secrets.ts';

const multifdChannels = 2;
/** Control and QEMU's main stream beside them. */
const channels = 2 + multifdChannels;
/** So slow that it goes on for minutes, until it is told to go faster. */
const crawl = { bandwidthBytesPerSecond: 1_000, deadlineMs: 280_000 };

type Daemon = 'manager' | 'alpha' | 'bravo';
const agents = ['alpha', 'bravo'] as const;
const daemons: readonly Daemon[] = ['manager', ...agents];

describe('keys in the memory of the manager and both agents', () => {
  const lab = labOf(`k${randomBytes(3).toString('hex')}`);
  let directory: string;
  let told: Told;
  let manager: ManagerClient;
  let pids: Record<Daemon, number>;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'slk-'));
    const file = join(directory, 'secrets');
    const { NODE_OPTIONS: before = '' } = process.env;
    Object.assign(process.env, { NODE_OPTIONS: `${before} --import=${import.meta.resolve('./tell.ts')}`, SEALIFT_TEST_SECRETS: file });
    try {
      await bringUp(lab, AbortSignal.timeout(120_000));
    } finally {
      process.env['NODE_OPTIONS'] = before;
      delete process.env['SEALIFT_TEST_SECRETS'];
    }
    told = new Told(file);
    pids = { manager: told.pidOf('manager'), alpha: told.pidOf('agent', '--name', 'alpha'), bravo: told.pidOf('agent', '--name', 'bravo') };
    manager = managerClient(lab.paths.managerSocket);
    await manager.createVm({ body: { host: 'alpha', definition: bareVm('web') } });
    await manager.startVm({ params: { vm: 'web' } });
  });

  after(async () => {
    await manager?.[Symbol.asyncDispose]();
    await takeDown(lab);
    await rm(directory, { recursive: true, force: true });
  });

  const searchAll = (wanted: Record<string, Buffer>): Record<Daemon, Found> => ({
    manager: search(pids.manager, wanted),
    alpha: search(pids.alpha, wanted),
    bravo: search(pids.bravo, wanted),
  });

  /** Every direction of every channel has its keys at both ends. */
  async function untilConfirmed(): Promise<void> {
    while (agents.some((agent) => told.directionsOf(pids[agent]) < 2 * channels)) await sleep(50);
  }

  /** Both agents are done with it. */
  async function untilEnded(migration: string): Promise<void> {
    for (const agent of agents) {
      const says = async () =>
        (await readFile(lab.paths.log(agent), 'utf8'))
          .split('\n')
          .some((line) => line.includes(migration) && line.includes('migration ended'));
      while (!(await says())) await sleep(50);
    }
  }

  /** A file of the running VM's. */
  const ofVm = (host: string, file: string): string => join(lab.paths.agentRun(host), 'vms', 'web', file);

  const endings: readonly {
    readonly name: string;
    readonly phase: MigrationPhase;
    readonly end: (migration: Migration) => Promise<unknown>;
  }[] = [
    {
      name: 'was cancelled',
      phase: 'cancelled',
      end: ({ id }) => manager.cancelMigration({ params: { migration: id } }),
    },
    {
      name: "failed because the destination's QEMU died",
      phase: 'failed',
      end: async () => process.kill(Number(await readFile(ofVm('bravo', 'pid'), 'utf8')), 'SIGKILL'),
    },
    {
      name: 'has brought the VM over',
      phase: 'completed',
      end: async () => {
        const command = JSON.stringify({ execute: 'migrate-set-parameters', arguments: { 'max-bandwidth': 1_000_000_000 } });
        const qmp = fileURLToPath(new URL('../support/qmp.ts', import.meta.url));
        const { status, stdout } = await run(process.execPath, [qmp, ofVm('alpha', 'qmp-spare.sock'), command]);
        assert.equal(status, 0, stdout);
      },
    },
  ];

  for (const { name, phase, end } of endings) {
    it(`are there while the channels live and not after a migration that ${name}`, async () => {
      told.next();
      const pcap = join(directory, `${phase}.pcap`);
      const capture = await Capture.start({ namespace: lab.plan.switch, interface: switchPort('mig', 'bravo'), file: pcap });
      try {
        const migration = await manager.migrateVm({ params: { vm: 'web' }, body: { to: 'bravo', multifdChannels, limits: crawl } });
        await untilConfirmed();
        const secrets = told.secrets({ manager: pids.manager, agents: agents.map((agent) => pids[agent]) });
        const live = searchAll(everything(secrets, migration.id));
        const gone = { ...formsOf("the spec's key", secrets.specKey), ...everythingOf(secrets.ofHellos) };
        for (const daemon of daemons)
          assert.deepEqual(await whatStays(daemon, live[daemon], gone), [], `${daemon} still has, while channels live,`);
        assert.deepEqual(await whatStays('manager', live.manager, everythingOf(secrets.ofChannels)), [], 'the manager never has these');
        assert.ok(live.manager.bytes['no secret'], 'what is no secret is found');
        for (const agent of agents) {
          const missing = Object.keys(everythingOf(secrets.ofChannels)).filter((each) => live[agent].bytes[each] === 0);
          assert.deepEqual(missing, [], `what channels live by is found in ${agent}`);
        }

        await end(migration);
        for await (const event of manager.watchMigration({ params: { migration: migration.id } })) Object.assign(migration, event);
        assert.equal(migration.phase, phase, migration.failure?.message);
        await untilEnded(migration.id);
        const left = searchAll(everything(secrets, migration.id));
        await capture.stop();

        const records = await firstRecords(pcap, migration.id);
        const openedBy = ({ schedules }: Found) =>
          Object.keys(records).filter((direction) =>
            [...schedules].some((key) => opens(Buffer.from(key, 'hex'), records[direction] ?? [])),
          );
        const directions = Object.keys(records).sort();
        for (let channel = 0; channel < channels; channel++) assert.ok(directions.includes(`${channel} to destination`), `${directions}`);
        for (const agent of agents)
          assert.deepEqual(openedBy(live[agent]).sort(), directions, `the schedules in ${agent} open what was captured`);
        assert.deepEqual(openedBy(live.manager), [], 'the manager never has a schedule of a channel');
        for (const daemon of daemons) {
          const { 'no secret': _, ...all } = everything(secrets, migration.id);
          assert.deepEqual(await whatStays(daemon, left[daemon], all), [], `${daemon} still has`);
          assert.deepEqual(openedBy(left[daemon]), [], `a schedule in ${daemon} opens what was captured`);
        }
      } finally {
        await capture.abandon();
      }
    });
  }

  /**
   * The last channel is confirmed at the source a moment before the destination knows, and what a call leaves on the stack goes with the next ones.
   *
   * @returns what of it is there still a while after the first search
   */
  async function whatStays(daemon: Daemon, first: Found, wanted: Record<string, Buffer>): Promise<string[]> {
    let stays = present(first).filter((name) => name in wanted);
    for (let tries = 0; stays.length > 0 && tries < 20; tries++) {
      await sleep(100);
      stays = present(search(pids[daemon], wanted));
    }
    return stays;
  }
});

const everythingOf = (secrets: Readonly<Record<string, Buffer>>): Record<string, Buffer> =>
  Object.assign({}, ...Object.entries(secrets).map(([name, secret]) => (secret.length < 32 ? { [name]: secret } : partsOf(name, secret))));

const everything = ({ specKey, ofHellos, ofChannels }: Secrets, id: string): Record<string, Buffer> => ({
  ...formsOf("the spec's key", specKey),
  ...everythingOf(ofHellos),
  ...everythingOf(ofChannels),
  'no secret': Buffer.from(id),
});

const present = (found: Found): string[] => Object.keys(found.bytes).filter((name) => found.bytes[name] !== 0);
