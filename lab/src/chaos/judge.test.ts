import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cells, planOfRuns } from './cells.ts';
import { type Facts, judge } from './judge.ts';

const wentWell: Facts = {
  stage: 'loaded',
  source: 'alpha',
  destination: 'bravo',
  killed: undefined,
  struckAt: 1_000,
  settled: true,
  phase: 'completed',
  vm: { host: 'bravo', state: 'running' },
  steps: { source: ['accepted', 'granted', 'released', 'ended'], destination: ['prepared', 'run', 'ended'] },
  ran: [
    { host: 'alpha', from: 0, until: 1_100 },
    { host: 'bravo', from: 1_200, until: undefined },
  ],
  client: { lost: 0, wrong: 0, checkerErrors: 0 },
  held: false,
  sourceAgentKilled: false,
  leftovers: [],
  dead: [],
};
const cameToNothing: Facts = {
  ...wentWell,
  phase: 'failed',
  vm: { host: 'alpha', state: 'running' },
  steps: { source: ['accepted', 'abandoned', 'ended'], destination: ['prepared', 'aborted', 'ended'] },
  ran: [{ host: 'alpha', from: 0, until: undefined }],
};
const lost: Facts = {
  ...wentWell,
  stage: 'running',
  killed: 'destination',
  struckAt: 1_300,
  phase: 'lost',
  vm: { host: 'bravo', state: 'crashed' },
  ran: [
    { host: 'alpha', from: 0, until: 1_100 },
    { host: 'bravo', from: 1_200, until: 1_300 },
  ],
  client: undefined,
};

describe('what a run came to', () => {
  it('is right where one copy runs, or none can', () => {
    assert.deepEqual(judge(wentWell), { outcome: 'runs at the destination', violations: [] });
    assert.deepEqual(judge(cameToNothing), { outcome: 'runs at the source', violations: [] });
    assert.deepEqual(judge(lost), { outcome: 'lost', violations: [] });
    assert.deepEqual(judge({ ...cameToNothing, held: true, sourceAgentKilled: true }).violations, []);
    const sourceGone: Facts = {
      ...lost,
      stage: 'paused',
      killed: 'source',
      steps: { source: ['accepted', 'ended'], destination: ['prepared', 'ended'] },
    };
    assert.deepEqual(judge(sourceGone), { outcome: 'lost', violations: [] });
    assert.deepEqual(judge({ ...lost, stage: 'releasing', phase: 'completed' }), { outcome: 'lost', violations: [] });
  });

  const wrong: [string, Facts, RegExp][] = [
    [
      'two run, if only for a moment',
      { ...wentWell, ran: [{ host: 'alpha', from: 0, until: 1_201 }, ...wentWell.ran.slice(1)] },
      /two copies ran at once for 1\.0 ms/,
    ],
    ['two run in the end', { ...wentWell, ran: wentWell.ran.map((each) => ({ ...each, until: undefined })) }, /two copies/],
    ['none runs', { ...wentWell, ran: [{ host: 'alpha', from: 0, until: 1_100 }] }, /lost, where it should be: runs at the destination/],
    [
      'it runs where RUN is not journaled',
      { ...wentWell, steps: cameToNothing.steps },
      /runs at the destination, where it should be: runs at the source/,
    ],
    ['it is not settled', { ...wentWell, settled: false, phase: 'in-doubt' }, /not settled: in-doubt/],
    ['a write is gone', { ...wentWell, client: { lost: 1, wrong: 0, checkerErrors: 0 } }, /1 acknowledged writes/],
    ['a value is wrong', { ...wentWell, client: { lost: 0, wrong: 1, checkerErrors: 0 } }, /1 values/],
    ['memory is wrong', { ...wentWell, client: { lost: 0, wrong: 0, checkerErrors: 1 } }, /memory checker/],
    ['the guest is silent', { ...wentWell, client: { lost: 0, wrong: 0, checkerErrors: 0, problem: 'silence' } }, /silence/],
    ['something is left behind', { ...wentWell, leftovers: ['a tap'] }, /left behind: a tap/],
    ['QEMU does not let go', { ...cameToNothing, held: true }, /does not let go/],
    ['a daemon died', { ...wentWell, dead: ['alpha'] }, /alpha is not running/],
    ['the manager has it elsewhere', { ...wentWell, vm: { host: 'alpha', state: 'running' } }, /it is on bravo/],
    ['the manager calls it otherwise', { ...cameToNothing, phase: 'completed' }, /calls the migration completed/],
    [
      'a stale copy is resumed after a loss',
      { ...lost, ran: [...lost.ran, { host: 'alpha', from: 1_400, until: 1_500 }] },
      /had been lost/,
    ],
    ['it is lost without need', { ...lost, stage: 'loaded' }, /lost, where it should be: runs at the source/],
    [
      'what was given back had run',
      {
        ...cameToNothing,
        ran: [
          { host: 'bravo', from: 0, until: 10 },
          { host: 'alpha', from: 11, until: undefined },
        ],
      },
      /given back had run/,
    ],
    ['a loss is called a failure', { ...lost, phase: 'failed' }, /calls a lost VM's migration failed/],
  ];
  for (const [what, facts, expected] of wrong) {
    it(`is wrong where ${what}`, () => assert.match(judge(facts).violations.join('\n'), expected));
  }
});

describe('the plan of the runs', () => {
  it('has every cell as often as any other, and is the same for the same seed', () => {
    const runs = planOfRuns(2 * cells.length, 7);
    assert.deepEqual(planOfRuns(2 * cells.length, 7), runs);
    assert.notDeepEqual(planOfRuns(2 * cells.length, 8), runs);
    for (const cell of cells) assert.equal(runs.filter((run) => run.cell === cell).length, 2);
  });

  it('has the same runs of a cell whatever else is run', () => {
    const [first] = cells;
    assert.ok(first);
    assert.deepEqual(
      planOfRuns(2, 7, [first]),
      planOfRuns(2 * cells.length, 7).filter(({ cell }) => cell === first),
    );
  });
});
