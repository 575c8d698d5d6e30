import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MigrationPhase, VmState } from '@sealift/contract';
import type { Standing } from '../agents/monitor.ts';
import { Whereabouts } from '../agents/whereabouts.ts';
import { definitionOf } from '../testing/records.ts';
import { type Knowledge, sight } from './sightings.ts';

/** A host that has the VM in this state, has it not, or does not answer; what it said before it fell silent does not count. */
function host(name: string, has: VmState | 'nothing' | 'silent'): Standing {
  const state = has === 'silent' ? 'running' : has;
  const vms = state === 'nothing' ? [] : [{ definition: definitionOf('redis'), state, pid: 7, log: '/l' }];
  const report = {
    name,
    version: '0.1.0',
    protocolVersion: 1,
    keyHash: 'ab'.repeat(32),
    qemu: { version: '7.2.0', machines: [], accel: 'tcg' as const, capabilities: [] },
    cpus: 2,
    memory: { total: 1, available: 1, reserved: 0 },
    bridges: [],
    migrationEndpoints: [],
    canSeal: true,
    vms,
  };
  return { name, state: has === 'silent' ? 'unreachable' : 'connected', report };
}

const moving = (phase: MigrationPhase) => ({ id: 'M', from: 'alpha', to: 'bravo', phase });
interface More extends Partial<Pick<Knowledge, 'migration' | 'untold'>> {
  readonly hosts?: readonly Standing[];
}

function look(alpha: Parameters<typeof host>[1], bravo: Parameters<typeof host>[1], { hosts, ...more }: More = {}) {
  const all = new Whereabouts();
  for (const { name, state, report } of hosts ?? [host('alpha', alpha), host('bravo', bravo), host('charlie', 'nothing')]) {
    if (state === 'connected') all.heard(name, report?.vms ?? []);
    else all.fell(name);
  }
  const { silent } = all;
  const answers = (name: string) => all.answers(name);
  return sight({
    vm: { name: 'redis', host: 'alpha' },
    migration: undefined,
    found: all.of('redis'),
    silent,
    answers,
    untold: [],
    ...more,
  });
}

describe('where a VM was found', () => {
  it('on its host: no problem', () => {
    assert.deepEqual(look('running', 'nothing'), {
      state: 'running',
      found: [{ host: 'alpha', state: 'running', pid: 7 }],
      restsOn: ['alpha'],
    });
  });

  const problems: [name: string, alpha: Parameters<typeof host>[1], bravo: Parameters<typeof host>[1], words: RegExp][] = [
    [
      'on no host',
      'nothing',
      'nothing',
      /^host alpha, where the manager has VM redis, does not have it\. No host has it.*sealift vm rm redis/,
    ],
    ['on none that answers', 'nothing', 'silent', /does not have it\. It may be on a host that does not answer: bravo/],
    [
      'its host silent',
      'silent',
      'nothing',
      /^host alpha, where the manager has VM redis, does not answer: whether it runs there is not known/,
    ],
    ['its host silent, a copy elsewhere', 'silent', 'paused', /alpha.*does not answer.*found on host bravo \(paused\).*Nothing is done/],
    [
      'on another host',
      'nothing',
      'running',
      /alpha.*does not have it; it was found on host bravo \(running\)\. Nothing is done about it by itself/,
    ],
    ['on two hosts, paused', 'paused', 'paused', /more than one host.*alpha \(paused\) and host bravo \(paused\)\. Nothing is done/],
    ['in doubt without a migration', 'in-doubt', 'nothing', /says that VM redis is in-doubt, and the manager knows no migration/],
  ];
  for (const [name, alpha, bravo, words] of problems)
    it(`${name}: said, with what to do`, () => assert.match(look(alpha, bravo).problem ?? '', words));

  it('on both ends of its migration is as it should be; elsewhere, or on neither, is not', () => {
    assert.equal(look('moving-out', 'moving-in', { migration: moving('copying') }).problem, undefined);
    assert.match(look('nothing', 'nothing', { migration: moving('copying') }).problem ?? '', /no host that answers has it/);
    const hosts = [host('alpha', 'moving-out'), host('bravo', 'moving-in'), host('charlie', 'running')];
    assert.match(
      look('moving-out', 'moving-in', { migration: moving('copying'), hosts }).problem ?? '',
      /also found on host charlie \(running\)/,
    );
    assert.match(
      look('in-doubt', 'silent', { migration: moving('in-doubt') }).problem ?? '',
      /in doubt between host alpha and host bravo.*Found on host alpha \(in-doubt\)\. Silent: bravo\..*migration resolve M/,
    );
  });

  it('a host that has not followed a decision is named, and which copy may run meanwhile', () => {
    const untold = (at: string) => [{ host: at, keep: 'source' as const, migration: 'M' }];
    assert.match(
      look('running', 'silent', { untold: untold('bravo') }).problem ?? '',
      /host bravo does not answer.*its copy may run as well/,
    );
    assert.match(
      look('running', 'paused', { untold: untold('bravo') }).problem ?? '',
      /host bravo, which has it \(paused\), has not followed yet/,
    );
    assert.match(look('silent', 'nothing', { untold: untold('alpha') }).problem ?? '', /host alpha, whose copy that is, does not answer/);
  });
});
