import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Grant } from '@sealift/transport';
import fc from 'fast-check';
import {
  type DestinationEffect,
  type DestinationEvent,
  type DestinationState,
  destinationRestart,
  destinationStart,
  destinationStep,
} from './destination.ts';
import type { DestinationStep } from './records.ts';

const totals = [{ records: 1, bytes: 10 }];
const grant: Grant = { runState: 'running', totals, diskWrites: [] };
const failure = { code: 'truncated', message: 'the link died' } as const;

function play(events: readonly DestinationEvent[], from: DestinationState = destinationStart): { state: DestinationState; done: string[] } {
  let state = from;
  const done: string[] = [];
  for (const event of events) {
    const turn = destinationStep(state, event);
    state = turn.state;
    done.push(...turn.effects.map(describeEffect));
  }
  return { state, done };
}

const describeEffect = (effect: DestinationEffect): string => (effect.type === 'journal' ? `journal ${effect.step}` : effect.type);

const conditions: DestinationEvent[] = [{ type: 'grant', grant }, { type: 'delivered', totals }, { type: 'loaded' }];

describe('the destination of a handover', () => {
  it('runs the VM on the last of its three conditions, in any order', () => {
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]) {
      const events = order.flatMap((i) => conditions[i] ?? []);
      assert.deepEqual(play(events.slice(0, 2)).done, [], 'two are not enough');
      const { done, state } = play([...events, { type: 'runs' }]);
      assert.deepEqual(done, ['journal run', 'run', 'settle-in', 'journal ended']);
      assert.equal(state.at === 'ended' && state.outcome, 'arrived');
    }
  });

  it('runs nothing that is not exactly what was granted', () => {
    for (const arrived of [[{ records: 1, bytes: 9 }], [{ records: 2, bytes: 10 }], [], [...totals, ...totals]]) {
      const { done } = play([{ type: 'grant', grant }, { type: 'delivered', totals: arrived }, { type: 'loaded' }]);
      assert.deepEqual(done, ['journal aborted', 'discard']);
    }
  });

  it('says ABORTED only once its QEMU is gone', () => {
    const { done } = play([{ type: 'grant', grant }, { type: 'vm-gone' }, { type: 'discarded' }]);
    assert.deepEqual(done, ['journal aborted', 'discard', 'abort-channels', 'journal ended']);
  });

  it('needs no channel any more once the grant and all of its bytes are here', () => {
    const { done } = play([...conditions.slice(0, 2), { type: 'failed', failure }, { type: 'loaded' }]);
    assert.deepEqual(done, ['journal run', 'run']);
    assert.deepEqual(
      play([
        { type: 'grant', grant },
        { type: 'failed', failure },
      ]).done,
      ['journal aborted', 'discard'],
    );
  });

  it('gives back a VM that QEMU would not run, and does not run one that the journal did not take', () => {
    assert.deepEqual(play([...conditions, { type: 'would-not-run', failure }]).done.slice(2), ['journal aborted', 'discard']);
    assert.deepEqual(play([...conditions, { type: 'journal-failed', failure }]).done.slice(2), ['discard']);
  });

  it('restarts into what its last record says', () => {
    const firstOf = (step: DestinationStep) => destinationRestart(step, 'running', undefined).effects.map(describeEffect);
    assert.deepEqual(firstOf('prepared'), ['journal aborted', 'discard']);
    assert.deepEqual(firstOf('aborted'), ['discard']);
    assert.deepEqual(firstOf('run'), ['run']);
    assert.deepEqual(firstOf('ended'), []);
  });

  it('keeps its rules whatever comes in whatever order', () => {
    const event: fc.Arbitrary<DestinationEvent> = fc.constantFrom<DestinationEvent>(
      ...conditions,
      { type: 'delivered', totals: [{ records: 1, bytes: 9 }] },
      { type: 'cancel', failure },
      { type: 'failed', failure },
      { type: 'aborted' },
      { type: 'vm-gone' },
      { type: 'runs' },
      { type: 'discarded' },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 14 }), (events) => {
        let state: DestinationState = destinationStart;
        const done: string[] = [];
        const heard = new Set<string>();
        for (const each of events) {
          heard.add(each.type);
          const turn = destinationStep(state, each);
          state = turn.state;
          for (const effect of turn.effects) {
            const what = describeEffect(effect);
            if (what === 'run') {
              assert.equal(done.at(-1), 'journal run', 'RUN is in the journal before anything runs');
              assert.ok(heard.has('grant') && heard.has('delivered') && heard.has('loaded'));
              assert.ok(!done.includes('journal aborted'), 'what was aborted never runs');
            }
            if (what === 'discard') assert.ok(!done.includes('run'), 'what may have run is not discarded');
            if (what === 'abort-channels') assert.ok(done.includes('discard') && heard.has('discarded'));
            done.push(what);
          }
        }
      }),
      { numRuns: 5000 },
    );
  });
});
