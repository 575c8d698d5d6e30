import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { SourceStep } from './records.ts';
import { type SourceEffect, type SourceEvent, type SourceState, sourceRestart, sourceStart, sourceStep } from './source.ts';

const totals = [{ records: 1, bytes: 10 }];
const failure = { code: 'truncated', message: 'the link died' } as const;

/** Runs events from a state on; what was done, in words. */
function play(events: readonly SourceEvent[], from: SourceState = sourceStart): { state: SourceState; done: string[] } {
  let state = from;
  const done: string[] = [];
  for (const event of events) {
    const turn = sourceStep(state, event);
    state = turn.state;
    done.push(...turn.effects.map(describeEffect));
  }
  return { state, done };
}

const describeEffect = (effect: SourceEffect): string => (effect.type === 'journal' ? `journal ${effect.step}` : effect.type);

const completed: SourceEvent[] = [
  { type: 'confirmed' },
  { type: 'pre-switchover' },
  { type: 'completed' },
  { type: 'local-ended', totals },
  { type: 'running' },
  { type: 'released' },
];

describe('the source of a handover', () => {
  it('goes from confirmed channels to a released VM', () => {
    const { state, done } = play(completed);
    assert.deepEqual(done, [
      'migrate',
      'continue',
      'journal granted',
      'grant',
      'journal released',
      'release',
      'close-channels',
      'journal ended',
    ]);
    assert.deepEqual(state, { at: 'ended', outcome: 'released', failure: undefined });
  });

  it('grants whichever of its two conditions comes last, and never on one of them', () => {
    for (const order of [
      ['completed', 'local-ended'],
      ['local-ended', 'completed'],
    ]) {
      const [first, second] = order.map((type): SourceEvent => (type === 'completed' ? { type } : { type: 'local-ended', totals }));
      assert.ok(first && second);
      const before = play([{ type: 'confirmed' }, { type: 'pre-switchover' }, first]);
      assert.equal(before.state.at, 'switching');
      assert.deepEqual(play([second], before.state).done, ['journal granted', 'grant']);
    }
  });

  it('runs on at any moment before the grant', () => {
    for (let length = 0; length < 4; length++) {
      for (const event of [{ type: 'cancel', failure }, { type: 'failed', failure }, { type: 'aborted' }] as const) {
        const { done, state } = play([...completed.slice(0, length), event, { type: 'resumed' }]);
        assert.deepEqual(done.slice(-4), ['journal abandoned', 'say-aborted', 'resume', 'journal ended']);
        assert.equal(state.at === 'ended' && state.outcome, 'kept');
      }
    }
  });

  it('is in doubt when the link dies after the grant, and settles either way', () => {
    const doubt = play([...completed.slice(0, 4), { type: 'failed', failure }]);
    assert.deepEqual(doubt.done.slice(-1), ['hold']);
    assert.deepEqual(play([{ type: 'running' }, { type: 'released' }], doubt.state).done.slice(0, 2), ['journal released', 'release']);
    const back = play([{ type: 'aborted' }, { type: 'resumed' }], doubt.state);
    assert.deepEqual(back.done, ['journal resuming', 'resume', 'journal ended']);
  });

  it('cannot be cancelled after the grant', () => {
    const granted = play(completed.slice(0, 4));
    assert.deepEqual(play([{ type: 'cancel', failure }], granted.state), { state: granted.state, done: [] });
  });

  it('has not granted where the journal did not take it', () => {
    const granted = play(completed.slice(0, 4));
    assert.deepEqual(play([{ type: 'journal-failed', failure }], granted.state).done, ['say-aborted', 'resume']);
  });

  it('neither releases nor resumes without the record of it: it is in doubt again, and asks', () => {
    const doubt = play([...completed.slice(0, 4), { type: 'failed', failure }]).state;
    for (const type of ['running', 'aborted', 'drop', 'keep'] as const) {
      const { done, state } = play([{ type }, { type: 'journal-failed', failure }], doubt);
      assert.deepEqual(done.slice(-1), ['hold']);
      assert.equal(state.at, 'in-doubt');
    }
  });

  it('does what an administrator decides in doubt, and nowhere else', () => {
    const granted = play(completed.slice(0, 4)).state;
    const doubt = play([{ type: 'failed', failure }], granted).state;
    assert.deepEqual(play([{ type: 'keep' }, { type: 'resumed' }], doubt).done, ['journal resuming', 'resume', 'journal ended']);
    assert.deepEqual(play([{ type: 'drop' }], doubt).done, ['journal released', 'release']);
    for (const state of [granted, sourceStart, play(completed).state]) {
      assert.deepEqual(play([{ type: 'keep' }, { type: 'drop' }], state), { state, done: [] });
    }
  });

  it('grants what QEMU has completed, though it ends before its streams are at their end', () => {
    const before = completed.slice(0, 3);
    assert.deepEqual(play([...before, { type: 'vm-gone' }, { type: 'local-ended', totals }]).done.slice(-2), ['journal granted', 'grant']);
    assert.equal(play([...before.slice(0, 2), { type: 'vm-gone' }]).state.at, 'ended');
  });

  it('restarts into what its last record says', () => {
    const firstOf = (step: SourceStep) => sourceRestart(step, undefined).effects.map(describeEffect);
    assert.deepEqual(firstOf('accepted'), ['journal abandoned', 'say-aborted', 'resume']);
    assert.deepEqual(firstOf('abandoned'), ['resume']);
    assert.deepEqual(firstOf('granted'), ['hold']);
    assert.deepEqual(firstOf('resuming'), ['resume']);
    assert.deepEqual(firstOf('released'), ['release']);
    assert.deepEqual(firstOf('ended'), []);
  });

  it('keeps its rules whatever comes in whatever order', () => {
    const event: fc.Arbitrary<SourceEvent> = fc.constantFrom<SourceEvent>(
      ...completed,
      { type: 'cancel', failure },
      { type: 'failed', failure },
      { type: 'aborted' },
      { type: 'vm-gone' },
      { type: 'resumed' },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 14 }), (events) => {
        let state: SourceState = sourceStart;
        const done: string[] = [];
        const heard = new Set<string>();
        for (const each of events) {
          heard.add(each.type);
          const turn = sourceStep(state, each);
          state = turn.state;
          for (const effect of turn.effects) {
            const what = describeEffect(effect);
            if (what === 'grant') assert.equal(done.at(-1), 'journal granted', 'GRANT is in the journal before it is said');
            if (what === 'resume') assert.ok(!done.includes('grant') || heard.has('aborted'), 'never again after a grant, but for ABORTED');
            if (what === 'release') assert.ok(done.includes('grant') && heard.has('running'), 'released only once it runs elsewhere');
            assert.ok(!(what === 'resume' && done.includes('release')) && !(what === 'release' && done.includes('resume')));
            done.push(what);
          }
        }
      }),
      { numRuns: 5000 },
    );
  });
});
