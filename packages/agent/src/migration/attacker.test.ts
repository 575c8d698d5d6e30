/**
 * A real VM on its way from one agent to another, with an attacker on the wire, in a network namespace:
 *
 *     alpha 127.0.0.1 ── attacker ── 127.0.0.2 bravo
 *
 * One guest goes through all of it. After an attack inside a channel it runs on where it was; after one from outside it has arrived.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AttemptReport, VmDefinition } from '@sealift/contract';
import { killQemu, queryRunState } from '@sealift/hypervisor';
import { formatAddress, parseAddress } from '@sealift/transport';
import { type Attack, Attacker, attackOn, flipped, late, nothing, type Unit, type Which } from '@sealift/transport/testing';
import { createLog } from '../log.ts';
import { checkOptions } from '../options.ts';
import { type RunningAgent, runAgent } from '../run.ts';
import { TestAuthority } from '../testing/certificates.ts';
import { isInside, needsRoot, runInNamespace } from '../testing/namespace.ts';
import { follow, order, testSpec } from '../testing/order.ts';
import { createAttempts } from './index.ts';

const [confirm, data, close, ping] = [0x01, 0x02, 0x03, 0x10];
const toDestination = { direction: 'to destination' } as const;
/** QEMU's main stream, from its second record on. */
const main: Which = { ...toDestination, channel: 1, type: data, sequence: 2 };

const endingAfter = (share: (length: number) => number, broken = false) =>
  attackOn(main, ({ wire, direction, bytes }) => {
    wire.send(direction, bytes.subarray(0, share(bytes.length)));
    if (broken) wire.cut();
    else wire.finish(direction);
    return nothing;
  });

interface Inside {
  /** Whose report says what was noticed. */
  readonly at: 'source' | 'destination';
  readonly code: string;
  readonly attack: () => Attack;
}

const found = (attack: () => Attack, at: Inside['at'] = 'destination', code = 'record'): Inside => ({ at, code, attack });
const changed = (bit: (unit: Unit) => number) => found(() => attackOn(main, (unit) => flipped(unit.bytes, bit(unit))));

const inside: Record<string, Inside> = {
  'a bit of a header': changed(() => 127),
  'a bit of the payload': changed(() => 130),
  'a bit of a tag': changed(({ bytes }) => bytes.length * 8 - 1),
  'a bit of CLOSE': found(() => attackOn({ ...toDestination, channel: 1, type: close }, ({ bytes }) => flipped(bytes, 140))),
  'a bit of a PING to the source': found(
    () => attackOn({ direction: 'to source', type: ping }, ({ bytes }) => flipped(bytes, 300)),
    'source',
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
  'the stream ended between two records': found(() => endingAfter(() => 0), 'destination', 'truncated'),
  'the stream ended within a record': found(() => endingAfter((length) => length >> 1), 'destination', 'truncated'),
  'the connection broken': found(() => endingAfter(() => 9, true), 'source', 'truncated'),
  'CONFIRM with a bit changed': found(
    () => attackOn({ channel: 1, type: confirm }, ({ bytes }) => flipped(bytes, 200)),
    'source',
    'truncated',
  ),
};

/** The source's side of a channel once more, on a connection of the attacker's own. */
async function replay(attacker: Attacker, recorded: readonly Unit[]): Promise<void> {
  const thief = await attacker.connect();
  thief.resume();
  for (const { bytes } of recorded) if (thief.writable) thief.write(bytes);
}

const outside: Record<string, () => Attack> = {
  'hellos with bits changed': () => {
    const attacks = [
      attackOn({ type: 'M1' }, ({ bytes }) => flipped(bytes, 690), 4),
      attackOn({ type: 'M2' }, ({ bytes }) => flipped(bytes, 9)),
    ];
    return (unit, attacker) => attacks.map((attack) => attack(unit, attacker)).find((result) => result !== undefined);
  },
  'whole connections replayed': () =>
    attackOn(main, async (_, attacker) => {
      for (const wire of attacker.wires) await replay(attacker, wire.came['to destination']);
      return undefined;
    }),
  'strangers with garbage': () =>
    attackOn(
      { type: 'M1' },
      async ({ bytes }, attacker) => {
        for (const garbage of [nothing, randomBytes(40), randomBytes(87), bytes.subarray(0, 86)]) {
          (await attacker.connect()).resume().write(garbage);
        }
        return undefined;
      },
      4,
    ),
};

if (isInside()) defineTests();
else test('migrations with an attacker on the wire', { skip: needsRoot }, () => runInNamespace(fileURLToPath(import.meta.url)));

function defineTests(): void {
  const definition: VmDefinition = {
    name: 'web',
    memoryMiB: 64,
    vcpus: 1,
    cpuModel: 'qemu64',
    machine: 'pc-q35-7.2',
    disks: [],
    nics: [],
    encryption: 'required',
  };
  let directory: string;
  let agents: readonly RunningAgent[] = [];

  const nameOf = (agent: RunningAgent): string => agent.host.identity.name;

  const startAgent = async (authority: TestAuthority, name: string, address: string): Promise<RunningAgent> => {
    const options = checkOptions({
      name,
      state: join(directory, name, 'state'),
      run: join(directory, name.slice(0, 1)), // short: the path of a unix socket has at most 107 bytes
      listen: `${address}:8652`,
      migrationListen: [`${address}:8651`],
      ...(await authority.issue(`${name}.agent.sealift`)),
      accel: 'tcg',
      qemu: 'qemu-system-x86_64',
      threads: '1',
    });
    return runAgent(options, createAttempts, '0.0.0-test', createLog({ daemon: name }, 'silent'));
  };

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sla-'));
    const authority = await TestAuthority.create(directory);
    agents = [await startAgent(authority, 'alpha', '127.0.0.1'), await startAgent(authority, 'bravo', '127.0.0.2')];
  });

  after(async () => {
    for (const agent of agents) {
      for (const vm of agent.host.vms.list()) {
        if (vm.process) await killQemu(vm.process);
        await vm.exited;
        await agent.host.vms.discard(vm);
      }
      await agent.stop();
    }
    await rm(directory, { recursive: true, force: true });
  });

  /** The host that has the guest, which is started where there is none, and the other one. */
  const hosts = async (): Promise<{ source: RunningAgent; destination: RunningAgent }> => {
    const [alpha, bravo] = agents;
    assert.ok(alpha && bravo);
    const at = agents.find((agent) => agent.host.vms.list().length > 0);
    if (!at) {
      await alpha.host.vms.define(definition);
      await alpha.host.vms.start('web');
    }
    return at === bravo ? { source: bravo, destination: alpha } : { source: alpha, destination: bravo };
  };

  /** What an attempt may leave on a host. */
  const left = (agent: RunningAgent) => ({
    vms: agent.host.vms.list().map((vm) => vm.name),
    migrations: readdirSync(join(directory, nameOf(agent).slice(0, 1), 'migrations')),
    run: readdirSync(join(directory, nameOf(agent).slice(0, 1), 'vms')),
    definitions: readdirSync(join(directory, nameOf(agent), 'state', 'vms')),
  });
  const all = { vms: ['web'], migrations: [], run: ['web'], definitions: ['web'] };
  const none = { vms: [], migrations: [], run: [], definitions: [] };

  /** @returns both reports at their end */
  async function move(source: RunningAgent, destination: RunningAgent, channels: number, attack: Attack, bandwidthBytesPerSecond = 0) {
    const spec = testSpec(source, destination, { channels, limits: { bandwidthBytesPerSecond } });
    let attacker: Attacker | undefined;
    try {
      await order(source, destination, 'web', spec, async ([endpoint = '']) => {
        attacker = await Attacker.open(parseAddress(endpoint), attack);
        return [formatAddress(attacker.address)];
      });
      const [at, to] = await Promise.all([follow(source, spec.migration), follow(destination, spec.migration)]);
      return { source: at, destination: to };
    } finally {
      await attacker?.[Symbol.asyncDispose]();
    }
  }

  // Half a second or more: so slow that the attack is noticed long before the grant, after which the source's code is another.
  const slow = 250_000;
  for (const [streams, channels] of [
    ['one stream', 2],
    ['multifd', 4],
  ] as const) {
    describe(`inside a channel, with ${streams}: the guest runs on at the source, and nothing is left of the attempt`, () => {
      for (const [name, { at, code, attack }] of Object.entries(inside)) {
        it(name, async () => {
          const { source, destination } = await hosts();
          const reports = await move(source, destination, channels, attack(), slow);
          assert.deepEqual([reports.source.phase, reports.destination.phase], ['failed', 'failed'], messages(reports));
          assert.equal(reports[at].failure?.code, code, messages(reports));
          const vm = source.host.vms.vm('web');
          assert.equal(await queryRunState(vm.monitor), 'running');
          assert.equal(vm.state, 'running');
          assert.deepEqual(left(source), all);
          assert.deepEqual(left(destination), none);
        });
      }
    });
  }

  const messages = ({ source, destination }: { source: AttemptReport; destination: AttemptReport }): string =>
    `source: ${source.failure?.message}; destination: ${destination.failure?.message}`;

  describe('from outside: the guest arrives', () => {
    for (const [name, attack] of Object.entries(outside)) {
      it(name, async () => {
        const { source, destination } = await hosts();
        const reports = await move(source, destination, 4, attack());
        assert.deepEqual([reports.source.phase, reports.destination.phase], ['completed', 'completed'], messages(reports));
        assert.equal(await queryRunState(destination.host.vms.vm('web').monitor), 'running');
        assert.deepEqual(left(source), none);
        assert.deepEqual(left(destination), all);
      });
    }
  });
}
