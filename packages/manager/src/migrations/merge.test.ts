import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AttemptReport, finalPhases, type Migration, type MigrationPhase, type VmState } from '@sealift/contract';
import fc from 'fast-check';
import { migrationOf } from '../testing/records.ts';
import { type Accounts, causeGraceMs, figuresGraceMs, merge, type Side, sourceGraceMs } from './merge.ts';

const now = 1_767_225_700_000;
const migration: Migration = { ...migrationOf('redis').migration, phase: 'copying' };

function reportOf(role: AttemptReport['role'], phase: MigrationPhase): AttemptReport {
  const cpuSeconds = { qemu: 1, transport: 2 };
  return {
    migration: migration.id,
    attempt: 1,
    role,
    vm: 'redis',
    phase,
    ...(finalPhases.includes(phase) && {
      result: {
        bytesOnWire: 5_000_000,
        records: 7,
        cpuSeconds,
        ...(role === 'source' && { migrationMs: 1000, switchOverMs: 20, switchOverErrorMs: 1 }),
      },
    }),
  };
}

const source = (phase: MigrationPhase, rest: Omit<Side, 'report'> = {}): Side => ({ report: reportOf('source', phase), ...rest });
const destination = (phase: MigrationPhase, rest: Omit<Side, 'report'> = {}): Side => ({ report: reportOf('destination', phase), ...rest });
const missing = (vm?: VmState): Side => ({ missing: { vm } });
const silent = (forMs: number): Side => ({ silentSince: now - forMs });
const ask = (accounts: Partial<Accounts>) => merge(migration, { source: {}, destination: {}, now, channels: 4, ...accounts });

describe('merging two accounts', () => {
  const cases: [
    name: string,
    accounts: Partial<Accounts>,
    phase: MigrationPhase,
    ended: boolean,
    vmHost?: string | undefined,
    undo?: boolean,
  ][] = [
    ['nothing heard', {}, 'copying', false],
    ["the source's phase counts", { source: source('switching-over'), destination: destination('connecting') }, 'switching-over', false],
    ['in doubt stays', { source: source('in-doubt'), destination: silent(1e9) }, 'in-doubt', false],
    [
      'a silent source changes nothing',
      { source: source('granted', { silentSince: 0 }), destination: destination('failed') },
      'granted',
      false,
    ],
    ['both completed', { source: source('completed'), destination: destination('completed') }, 'completed', true, 'bravo'],
    ['completed, figures awaited', { source: source('completed') }, 'releasing', false, 'bravo'],
    ['completed, figures given up', { source: source('completed'), completedAt: now - figuresGraceMs }, 'completed', true, 'bravo'],
    ['completed, destination has forgotten', { source: source('completed'), destination: missing('running') }, 'completed', true, 'bravo'],
    ['runs there, source releases', { source: source('granted'), destination: destination('completed') }, 'releasing', false, 'bravo'],
    ['runs there, source just silent', { source: silent(1), destination: destination('completed') }, 'releasing', false, 'bravo'],
    [
      'runs there, source dead',
      { source: silent(sourceGraceMs), destination: destination('completed'), completedAt: now - sourceGraceMs },
      'completed',
      true,
      'bravo',
    ],
    ['runs there, source has forgotten', { source: missing(), destination: destination('completed') }, 'completed', true, 'bravo'],
    ['failed', { source: source('failed'), destination: destination('failed') }, 'failed', true],
    ['failed, destination holds on', { source: source('failed'), destination: destination('copying') }, 'failed', true, undefined, true],
    ['failed, destination silent', { source: source('failed'), destination: silent(1) }, 'failed', true, undefined, true],
    ['cancelled', { source: source('cancelled'), destination: missing() }, 'cancelled', true],
    ['lost at the source, never handed over', { source: source('lost'), destination: destination('failed') }, 'lost', true],
    ['lost at the source, destination holds on', { source: source('lost'), destination: destination('copying') }, 'lost', true],
    ['lost after the handover', { source: source('completed'), destination: destination('lost') }, 'lost', true, 'bravo'],
    ['lost after the handover, source in doubt', { source: source('in-doubt'), destination: destination('lost') }, 'in-doubt', false],
    ['lost after the handover, source has forgotten', { source: missing(), destination: destination('lost') }, 'lost', true, 'bravo'],
    [
      'lost after the handover, source dead',
      { source: silent(sourceGraceMs), destination: destination('lost'), completedAt: now - sourceGraceMs },
      'lost',
      true,
      'bravo',
    ],
    [
      'the destination has returned and asks, source silent',
      { source: silent(1), destination: destination('in-doubt') },
      'in-doubt',
      false,
    ],
    [
      'the destination has returned and asks, source has released',
      { source: source('completed'), destination: destination('in-doubt'), completedAt: now - figuresGraceMs },
      'in-doubt',
      false,
      'bravo',
    ],
    ['never begun', { source: missing('running'), destination: destination('preparing') }, 'failed', true, undefined, true],
    ['never begun, both ignorant', { source: missing('running'), destination: missing() }, 'failed', true],
    ['forgotten by both, runs there', { source: missing(), destination: missing('running') }, 'completed', true, 'bravo'],
    ['forgotten by both, nowhere to be seen', { source: missing(), destination: missing() }, 'in-doubt', false],
    ['forgotten by the source, which is in doubt', { source: missing('in-doubt'), destination: missing('running') }, 'in-doubt', false],
    ['forgotten by the source, destination silent', { source: missing(), destination: silent(1e9) }, 'in-doubt', false],
  ];
  for (const [name, accounts, phase, ended, vmHost, undo = false] of cases) {
    it(name, () => {
      const verdict = ask(accounts);
      assert.deepEqual(
        {
          phase: verdict.migration.phase,
          ended: verdict.migration.endedAt !== undefined,
          vmHost: verdict.vmHost,
          undo: verdict.undoDestination ?? false,
        },
        { phase, ended, vmHost, undo },
      );
    });
  }

  it('gives the figures of both, and says nothing of a side that did not tell', () => {
    const both = ask({ source: source('completed'), destination: destination('completed') }).migration.result;
    assert.deepEqual(both?.cpuSeconds, { source: { qemu: 1, transport: 2 }, destination: { qemu: 1, transport: 2 } });
    assert.deepEqual([both?.channels, both?.throughputMBps], [4, 5]);
    const later = ask({ source: source('completed'), destination: destination('completed'), begunAt: migration.orderedAt + 250 });
    assert.deepEqual([both?.migrationMs, later.migration.result?.migrationMs], [1000, 1250]);
    const one = ask({ source: source('completed'), destination: missing() }).migration.result;
    assert.deepEqual(one?.cpuSeconds, { source: { qemu: 1, transport: 2 } });
    assert.equal(ask({ source: missing(), destination: destination('completed') }).migration.result, undefined);
  });

  it('says of a lost VM where it was lost, whose it is, and what can be started again', () => {
    const failure = { code: 'hypervisor', message: 'QEMU ended' };
    const there = { report: { ...reportOf('destination', 'lost'), failure } };
    assert.deepEqual(ask({ source: source('completed'), destination: there }).migration.failure, {
      code: 'hypervisor',
      message: 'VM redis had been handed over by host alpha and was lost at host bravo: QEMU ended',
      advice:
        'VM redis is off, on host bravo; its memory is gone, and its disks are as it last wrote them. Start it again there: sealift vm start redis',
    });
    const here = ask({ source: { report: { ...reportOf('source', 'lost'), failure } } }).migration.failure;
    assert.match(here?.message ?? '', /^VM redis had not been handed over and was lost at host alpha: QEMU ended/);
    assert.match(here?.advice ?? '', /on host alpha/);
  });

  it("tells the destination's reason where the source knows only that it gave up or is gone, and waits for it a moment", () => {
    const because = (side: Side, code: string): Side => ({
      ...side,
      ...(side.report && { report: { ...side.report, failure: { code, message: code } } }),
    });
    const gaveUp = because(source('failed'), 'peer');
    const noticed = because(destination('failed'), 'record');
    const codeOf = (accounts: Partial<Accounts>) => ask(accounts).migration.failure?.code;
    assert.deepEqual(ask({ source: gaveUp, destination: noticed }).migration.failure, { code: 'record', message: 'host bravo: record' });
    const cut = because(source('failed'), 'truncated');
    assert.equal(codeOf({ source: cut, destination: noticed }), 'record');
    assert.equal(codeOf({ source: cut, destination: because(destination('failed'), 'peer') }), 'truncated');
    assert.equal(codeOf({ source: because(source('failed'), 'stalled'), destination: noticed }), 'stalled');
    assert.equal(ask({ source: cut, destination: destination('copying') }).lookAgainInMs, causeGraceMs);
    assert.equal(codeOf({ source: gaveUp, destination: because(destination('cancelled'), 'cancelled') }), 'peer');
    const early = ask({ source: gaveUp, destination: destination('copying') });
    assert.deepEqual([early.migration.endedAt, early.migration.phase, early.lookAgainInMs], [undefined, 'copying', causeGraceMs]);
    assert.equal(codeOf({ source: gaveUp, destination: destination('copying'), sourceEndedAt: now - causeGraceMs }), 'peer');
    assert.equal(codeOf({ source: gaveUp, destination: missing() }), 'peer');
  });

  it('always gives a reason for an end that is not completed', () => {
    const doubt = { code: 'agent_unreachable', message: 'host alpha does not answer' };
    assert.deepEqual(ask({ source: missing('running'), doubt }).migration.failure, doubt);
    for (const phase of ['failed', 'cancelled', 'lost'] as const) assert.ok(ask({ source: source(phase) }).migration.failure);
  });

  it('moves the VM only where it runs at the destination or the source has released it, and ends only in a final phase', () => {
    const phases: MigrationPhase[] = [
      'preparing',
      'connecting',
      'copying',
      'switching-over',
      'granted',
      'releasing',
      'in-doubt',
      ...finalPhases,
    ];
    const states: (VmState | undefined)[] = ['stopped', 'running', 'paused', 'moving-in', 'moving-out', 'in-doubt', 'crashed', undefined];
    const side = (role: AttemptReport['role']) =>
      fc.record(
        {
          report: fc.constantFrom(...phases).map((phase) => reportOf(role, phase)),
          missing: fc.constantFrom(...states).map((vm) => ({ vm })),
          silentSince: fc.integer({ min: now - 2 * sourceGraceMs, max: now }),
        },
        { requiredKeys: [] },
      );
    fc.assert(
      fc.property(
        side('source'),
        side('destination'),
        fc.option(fc.integer({ min: now - 2 * sourceGraceMs, max: now })),
        (from, to, completedAt) => {
          const verdict = ask({ source: from, destination: to, ...(completedAt !== null && { completedAt }) });
          const { phase, endedAt, failure } = verdict.migration;
          assert.equal(endedAt !== undefined, finalPhases.includes(phase));
          if (verdict.vmHost !== undefined) {
            const runsThere =
              ['completed', 'lost'].includes(to.report?.phase ?? '') || to.missing?.vm === 'running' || to.missing?.vm === 'paused';
            assert.ok(from.report?.phase === 'completed' || runsThere);
          }
          if (endedAt !== undefined && phase !== 'completed') assert.ok(failure);
          if (phase === 'completed') assert.equal(verdict.vmHost, 'bravo');
        },
      ),
    );
  });
});
