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

const describeEffect = (effect: DestinationEffect): string =>
  effect.type === 'journal' ? `journal ${effect.step}${effect.required ? ', required' : ''}` : effect.type;

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
      assert.deepEqual(done, ['journal run, required', 'run', 'settle-in', 'journal ended']);
      assert.equal(state.at === 'ended' && state.outcome, 'arrived');
    }
  });

  it('runs nothing that is not exactly what was granted', () => {
    for (const arrived of [[{ records: 1, bytes: 9 }], [{ records: 2, bytes: 10 }], [], [...totals, ...totals]]) {
      const { done } = play([{ type: 'grant', grant }, { type: 'delivered', totals: arrived }, { type: 'loaded' }]);
      assert.deepEqual(done, ['journal aborted', 'discard']);
    }
  });

  it('runs nothing whose disks are not exactly as granted', () => {
    const withDisks = { ...grant, diskWrites: [7, 0] };
    for (const [diskWrites, runs] of [
      [[7, 0], true],
      [[6, 0], false],
      [[0, 7], false],
      [[7], false],
      [[7, 0, 0], false],
      [undefined, false],
    ] as const) {
      const { done } = play([
        { type: 'grant', grant: withDisks },
        { type: 'delivered', totals, ...(diskWrites && { diskWrites }) },
        { type: 'loaded' },
      ]);
      assert.equal(done[0], runs ? 'journal run, required' : 'journal aborted', JSON.stringify(diskWrites));
    }
    const { done } = play([{ type: 'grant', grant }, { type: 'delivered', totals, diskWrites: [1] }, { type: 'loaded' }]);
    assert.equal(done[0], 'journal aborted', 'writes that nobody granted');
  });

  it('says ABORTED only once its QEMU is gone', () => {
    const { done } = play([{ type: 'grant', grant }, { type: 'vm-gone' }, { type: 'discarded' }]);
    assert.deepEqual(done, ['journal aborted', 'discard', 'abort-channels', 'journal ended']);
  });

  it('needs no channel any more once the grant and all of its bytes are here', () => {
    const { done } = play([...conditions.slice(0, 2), { type: 'failed', failure }, { type: 'loaded' }]);
    assert.deepEqual(done, ['journal run, required', 'run']);
    assert.deepEqual(
      play([
        { type: 'grant', grant },
        { type: 'failed', failure },
      ]).done,
      ['journal aborted', 'discard'],
    );
  });

  it('gives back a VM that QEMU would not run, and does not run one that the journal did not take', () => {
    assert.deepEqual(play([...conditions, { type: 'would-not-run', failure }]).done.slice(2), ['journal aborted, required', 'discard']);
    assert.deepEqual(play([...conditions, { type: 'journal-failed', failure }]).done.slice(2), ['discard']);
  });

  it('gives nothing back after RUN unless ABORTED is in the journal too: it asks again', () => {
    const { state, done } = play([...conditions, { type: 'would-not-run', failure }, { type: 'journal-failed', failure }]);
    assert.deepEqual(done.slice(-1), ['find-out']);
    assert.equal(state.at, 'returning');
  });

  it('gives up at once what QEMU could not load, with every byte of it here as well', () => {
    const broken = { type: 'failed', failure: { code: 'hypervisor', message: 'QEMU could not load the VM' } } as const;
    assert.deepEqual(play([...conditions.slice(0, 2), broken]).done, ['journal aborted', 'discard']);
  });

  it('asks after a restart, and runs only what the source still stands by or an administrator chose', () => {
    const { state } = destinationRestart('run', 'running', undefined);
    assert.equal(state.at, 'returning');
    for (const type of ['grant', 'delivered', 'loaded', 'cancel', 'failed'] as const) {
      const event = conditions.find((each) => each.type === type) ?? ({ type, failure } as DestinationEvent); // the last two are no conditions
      assert.deepEqual(play([event], state).done, [], type);
    }
    assert.deepEqual(play([{ type: 'cleared' }, { type: 'runs' }], state).done, ['run', 'settle-in', 'journal ended']);
    assert.deepEqual(play([{ type: 'keep' }], state).done, ['run']);
    assert.deepEqual(play([{ type: 'runs' }], state).done, ['settle-in', 'journal ended'], 'it ran already');
    assert.deepEqual(play([{ type: 'vm-gone' }], state).state, play([...conditions, { type: 'vm-gone' }]).state, 'lost');
  });

  it('is superseded by the source, or by an administrator, whatever it has done', () => {
    const removed = ['journal aborted, required', 'discard', 'abort-channels', 'journal ended'];
    const returning = destinationRestart('run', 'running', undefined).state;
    const arrived = play([...conditions, { type: 'runs' }]).state;
    const lost = play([...conditions, { type: 'vm-gone' }]).state;
    for (const [state, type] of [
      [returning, 'aborted'],
      [returning, 'drop'],
      [arrived, 'drop'],
      [lost, 'drop'],
    ] as const) {
      const { done, state: after } = play([{ type }, { type: 'discarded' }], state);
      assert.deepEqual(done, removed);
      assert.equal(after.at === 'ended' && after.failure?.code, 'resolved');
    }
    assert.deepEqual(play([{ type: 'drop' }, { type: 'journal-failed', failure }], arrived).state, arrived, 'not without its record');
  });

  it('never gives up what may be the only copy because QEMU would not run it', () => {
    const kept = play([{ type: 'keep' }], play(conditions).state).state;
    const cleared = play([{ type: 'cleared' }], destinationRestart('run', 'running', undefined).state).state;
    for (const state of [kept, cleared]) {
      const { done, state: after } = play([{ type: 'would-not-run', failure }], state);
      assert.deepEqual(done, ['find-out']);
      assert.equal(after.at, 'returning');
    }
  });

  it('restarts into what its last record says', () => {
    const firstOf = (step: DestinationStep) => destinationRestart(step, 'running', undefined).effects.map(describeEffect);
    assert.deepEqual(firstOf('prepared'), ['journal aborted', 'discard']);
    assert.deepEqual(firstOf('aborted'), ['discard']);
    assert.deepEqual(firstOf('run'), ['find-out']);
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
              assert.equal(done.at(-1), 'journal run, required', 'RUN is in the journal before anything runs');
              assert.ok(heard.has('grant') && heard.has('delivered') && heard.has('loaded'));
              assert.ok(!done.some((each) => each.startsWith('journal aborted')), 'what was aborted never runs');
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
