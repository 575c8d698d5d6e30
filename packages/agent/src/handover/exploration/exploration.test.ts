import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type Exploration, explore, type Model } from './explore.ts';
import { worldOf } from './scenarios.ts';
import { F, line, type World, width } from './world.ts';

function report(test: TestContext, { states, transitions, depth, violation }: Exploration): void {
  test.diagnostic(`${states} states, ${transitions} transitions, depth ${depth}, nothing bounded`);
  if (violation) test.diagnostic([...violation.trace, `=> ${violation.what}`].join('\n'));
}

/** The same world, held to something else. */
const judgedBy = (world: World, judge: (state: Uint8Array) => string | undefined): Model => ({
  width,
  initial: world.initial,
  successors: (now, go) => world.successors(now, go),
  isEnd: (state) => world.isEnd(state),
  judge,
});

describe('every state of a handover', () => {
  it('has at most one running copy, loses nothing that it need not, and comes to an end', (test) => {
    const world = worldOf();
    const found = explore(world);
    report(test, found);
    assert.equal(found.violation, undefined);
    // A world in which nothing happens is safe too.
    assert.ok(found.states > 100_000 && found.ends > 500);
    const both = (at: (taken: string) => boolean) => [...world.source.taken, ...world.destination.taken].filter(at);
    for (const state of ['opening', 'copying', 'switching', 'granted', 'in-doubt', 'releasing', 'abandoning', 'resuming']) {
      assert.ok(both((taken) => taken.startsWith(`${state} + `)).length > 0, `the source was never ${state}`);
    }
    for (const state of ['receiving', 'running', 'returning', 'discarding']) {
      assert.ok(both((taken) => taken.startsWith(`${state} + `)).length > 0, `the destination was never ${state}`);
    }
    for (const event of ['journal-failed', 'running', 'aborted', 'would-not-run', 'cleared', 'vm-gone', 'cancel', 'failed']) {
      assert.ok(both((taken) => taken.endsWith(` + ${event}`)).length > 0, `nobody ever took ${event}`);
    }
  });

  it('holds with an administrator who decides for the source only where the destination is down', (test) => {
    const world = worldOf({ administrator: 'careful' });
    const found = explore(world);
    report(test, found);
    assert.equal(found.violation, undefined);
    for (const taken of ['in-doubt + keep', 'in-doubt + drop']) assert.ok(world.source.taken.has(taken), taken);
    for (const taken of ['returning + keep', 'returning + drop', 'ended + drop']) assert.ok(world.destination.taken.has(taken), taken);
  });

  it('does not hold with one who decides while the destination merely cannot be reached: what the command warns of', (test) => {
    const found = explore(worldOf({ administrator: 'hasty' }));
    report(test, found);
    assert.equal(found.violation?.what, 'two copies run');
  });

  it('ends with the VM at the destination where nothing fails', (test) => {
    const found = explore(worldOf({ faults: false }));
    report(test, found);
    assert.equal(found.violation, undefined);
    assert.ok(found.ends > 0);
  });
});

describe('the exploration itself', () => {
  it('finds what an invariant that is wrong forbids', () => {
    const wrong: Readonly<Record<string, (world: World, state: Uint8Array) => boolean>> = {
      'the source is never in doubt': (world, state) => state[F.sUp] === 1 && world.sourceAt(state).at === 'in-doubt',
      'the destination never asks': (world, state) => state[F.dUp] === 1 && world.destinationAt(state).at === 'returning',
      'no VM is ever lost': (world, state) => {
        const destination = world.destinationAt(state);
        return state[F.dUp] === 1 && destination.at === 'ended' && destination.outcome === 'lost';
      },
      'a session lasts until both have ended': (world, state) => state[F.sLine] === line.closed && !world.isEnd(state),
    };
    for (const [what, broken] of Object.entries(wrong)) {
      const world = worldOf();
      const { violation } = explore(judgedBy(world, (state) => (broken(world, state) ? what : undefined)));
      assert.equal(violation?.what, what);
      assert.ok(!violation.trace.includes('nobody knows how'));
    }
  });

  it('finds runs that never end', () => {
    // Counts to three, and from an odd number it can go astray to where nothing leads on.
    const model: Model = {
      width: 1,
      initial: [Uint8Array.of(0)],
      successors: ([now = 0], go) => {
        if (now < 3) go(Uint8Array.of(now + 1), `to ${now + 1}`, true, undefined);
        if (now === 1) go(Uint8Array.of(9), 'astray', false, undefined);
      },
      isEnd: ([now]) => now === 3,
      judge: () => undefined,
    };
    const { states, transitions, depth, violation } = explore(model);
    assert.deepEqual({ states, transitions, depth }, { states: 5, transitions: 5, depth: 3 });
    assert.deepEqual(violation?.trace, ['to 1', 'astray']);
  });
});
