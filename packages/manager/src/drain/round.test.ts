import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Candidate, DrainPlan, HostReport, Migration, Move, VmState } from '@sealift/contract';
import { Slots } from '../moves/slots.ts';
import { definitionOf, migrationOf } from '../testing/records.ts';
import { type Refusal, triedOf } from './attempts.ts';
import { roundOf, type Situation } from './round.ts';

const patience = { attempts: 3, firstWaitMs: 100 };
const move = (vm: string, to = 'bravo'): Move => ({ vm, from: 'alpha', to, suite: 'aes-256-gcm', why: 'most room' });
const candidate = (...verdicts: Candidate['checks'][number]['verdict'][]): Candidate => ({
  host: 'bravo',
  eligible: false,
  checks: verdicts.map((verdict) => ({ name: 'memory', verdict, reason: 'so it is' })),
});
const stay = (vm: string, ...candidates: Candidate[]): DrainPlan['stays'][number] => ({ vm, candidates, why: `${vm} cannot` });
const moving = (vm: string, changes: Partial<Migration> = {}): Migration => migrationOf(vm, changes).migration;

interface Case {
  vms?: Record<string, VmState>;
  moves?: Move[];
  stays?: DrainPlan['stays'];
  unfinished?: Migration[];
  refusals?: Refusal[];
  perHost?: number;
  more?: Partial<Situation>;
}

function look({ vms = {}, moves = [], stays = [], unfinished = [], refusals = [], perHost = 8, more = {} }: Case) {
  const all = Object.entries(vms).map(([name, state]) => ({ definition: definitionOf(name), state, log: '/l' }));
  const report: HostReport = {
    name: 'alpha',
    version: '0.1.0',
    protocolVersion: 1,
    keyHash: 'ab'.repeat(32),
    qemu: { version: '7.2.0', machines: [], accel: 'tcg', capabilities: [] },
    cpus: 2,
    memory: { total: 1, available: 1, reserved: 0 },
    bridges: [],
    migrationEndpoints: [],
    canSeal: true,
    vms: all,
  };
  const hosts = new Map(['alpha', 'bravo', 'charlie'].map((name) => [name, { cluster: 'default', perHost, perCluster: 64 }]));
  const { begin, waiting, ...rest } = roundOf({
    host: 'alpha',
    report,
    known: new Set(Object.keys(vms)),
    plan: { host: 'alpha', moves, stays, at: 0 },
    unfinished,
    own: 0,
    concurrent: 8,
    tried: triedOf([], refusals),
    patience,
    slots: new Slots(unfinished, hosts),
    now: 1000,
    ...more,
  });
  return { begin: begin.map((each) => each.move.vm), elsewhere: begin.map((each) => each.elsewhere), waiting: waiting.join('; '), ...rest };
}

const refusal = (vm: string, at: number, to = 'bravo'): Refusal => ({ vm, to, at, why: `no at ${at}` });

describe('a round of a drain', () => {
  it('begins what is planned, in its order, and is over when nothing is left', () => {
    const both = look({ vms: { a: 'running', b: 'paused', off: 'stopped' }, moves: [move('a'), move('b')] });
    assert.deepEqual([both.begin, both.left, both.over], [['a', 'b'], 2, false]);
    const none = look({ vms: { off: 'stopped', dead: 'crashed' }, stays: [stay('off')] });
    assert.deepEqual([none.over, none.stays, none.left], [true, [], 0]);
  });

  it('holds to the slots of both hosts and to its own number', () => {
    const vms: Record<string, VmState> = { a: 'running', b: 'running', c: 'running' };
    const moves = [move('a'), move('b', 'charlie'), move('c', 'charlie')];
    const elsewhere = moving('x', { from: 'charlie', to: 'bravo' });
    const full = look({ vms, moves, perHost: 1, unfinished: [elsewhere] });
    assert.deepEqual([full.begin, full.over], [[], false]);
    assert.match(full.waiting, /VM a waits: host bravo has 1 migrations of at most 1/);
    assert.deepEqual(look({ vms, moves, perHost: 2, unfinished: [elsewhere] }).begin, ['a', 'b']);
    assert.deepEqual(look({ vms, moves, more: { concurrent: 2, own: 1 } }).begin, ['a']);
  });

  it('tries a VM again after a while, elsewhere, and gives up after its attempts', () => {
    const vms: Record<string, VmState> = { a: 'running' };
    const moves = [move('a')];
    const soon = look({ vms, moves, refusals: [refusal('a', 950)] });
    assert.deepEqual([soon.begin, soon.dueAt, soon.over], [[], 1050, false]);
    const again = look({ vms, moves, refusals: [refusal('a', 900)] });
    assert.deepEqual([again.begin, again.elsewhere], [['a'], [new Set(['bravo'])]]);
    const twice = look({ vms, moves, refusals: [refusal('a', 700), refusal('a', 850, 'charlie')] });
    assert.deepEqual([twice.begin, twice.dueAt], [[], 1050]);
    const enough = look({ vms, moves, refusals: [1, 2, 3].map((at) => refusal('a', at)) });
    assert.deepEqual([enough.over, enough.stays], [true, [{ vm: 'a', why: 'it was tried 3 times, and the last time: no at 3' }]]);
  });

  it('waits for what passes by itself, and for everybody else', () => {
    const vms: Record<string, VmState> = { a: 'running' };
    assert.equal(look({ vms, stays: [stay('a', candidate('fail'), candidate('pass', 'wait'))] }).over, false);
    assert.equal(look({ vms, stays: [stay('a', candidate('fail', 'wait'))] }).over, true);
    // Moved by somebody's order, on its way here, in doubt, and just settled.
    const moved = look({ vms: { a: 'moving-out' }, moves: [move('a')], unfinished: [moving('a')] });
    assert.deepEqual([moved.begin, moved.over, moved.left], [[], false, 1]);
    assert.equal(look({ vms: { a: 'moving-in' }, unfinished: [moving('a', { from: 'bravo', to: 'alpha' })] }).over, false);
    assert.match(look({ vms: { a: 'in-doubt' }, unfinished: [moving('a', { phase: 'in-doubt' })] }).waiting, /in doubt \(migration/);
    assert.equal(look({ vms: { a: 'moving-out' } }).over, false);
    assert.equal(look({ vms: { a: 'running' } }).over, false);
  });

  it('never takes a host for empty on which something runs that the manager does not know', () => {
    const { over, stays } = look({ vms: { a: 'running' }, more: { known: new Set() } });
    assert.deepEqual([over, stays.map(({ vm }) => vm)], [true, ['a']]);
    assert.match(stays[0]?.why ?? '', /the manager does not know it/);
  });
});
