import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type DestinationEvent, type DestinationState, destinationRestart, destinationStart, destinationStep } from './destination.ts';
import type { Failure } from './records.ts';
import { type SourceEvent, type SourceState, sourceRestart, sourceStep } from './source.ts';

const failure: Failure = { code: 'truncated', message: 'the line was cut' };
const totals = [{ records: 3, bytes: 1000 }];
const grant: DestinationEvent = {
  type: 'grant',
  grant: { runState: 'running', postcopy: true, totals: [{ records: 0, bytes: 0 }], diskWrites: [] },
};
const [drawing, runs, loaded]: DestinationEvent[] = [{ type: 'drawing' }, { type: 'runs' }, { type: 'loaded' }];
const delivered: DestinationEvent = { type: 'delivered', totals };
const failed = { type: 'failed', failure } as const;

function source(events: readonly SourceEvent[], state: SourceState = { at: 'switching', completed: false, sent: undefined }) {
  const effects: string[] = [];
  for (const event of events) {
    const turn = sourceStep(state, event);
    state = turn.state;
    for (const effect of turn.effects) effects.push(effect.type === 'journal' ? `journal ${effect.step}` : effect.type);
  }
  return { state, effects };
}

function destination(events: readonly (DestinationEvent | undefined)[], state: DestinationState = destinationStart) {
  const effects: string[] = [];
  for (const event of events) {
    if (!event) continue;
    const turn = destinationStep(state, event);
    state = turn.state;
    for (const effect of turn.effects) effects.push(effect.type === 'journal' ? `journal ${effect.step}` : effect.type);
  }
  return { state, effects };
}

describe('the source, by post-copy', () => {
  const granted: SourceEvent = { type: 'postcopy-active' };

  it('grants while it switches over, and releases when all is sent and every stream has ended, in whichever order', () => {
    const rest: SourceEvent[] = [{ type: 'running' }, { type: 'completed' }, { type: 'local-ended', totals }];
    fc.assert(
      fc.property(fc.shuffledSubarray(rest, { minLength: 3, maxLength: 3 }), (order) => {
        const { state, effects } = source([granted, ...order]);
        assert.equal(state.at, 'releasing');
        assert.deepEqual(effects, ['journal granted', 'grant-postcopy', 'journal released', 'release']);
        assert.notEqual(source([granted, ...order.slice(0, 2)]).state.at, 'releasing');
      }),
    );
  });

  it('never grants that way what has completed, nor before the VM stands still', () => {
    assert.deepEqual(source([{ type: 'completed' }, granted]).effects, []);
    assert.deepEqual(source([granted], { at: 'copying' }).effects, []);
  });

  it('never resumes once the destination ran the VM, whatever comes', () => {
    const any = fc.constantFrom<SourceEvent>(
      failed,
      { type: 'cancel', failure },
      { type: 'vm-gone' },
      { type: 'running' },
      { type: 'completed' },
      { type: 'local-ended', totals },
      { type: 'pre-switchover' },
      granted,
      { type: 'released' },
      { type: 'keep' },
      { type: 'drop' },
    );
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), (events) => {
        assert.ok(!source([granted, { type: 'running' }, ...events]).effects.includes('resume'));
      }),
    );
    assert.ok(!source([granted, { type: 'running' }, { type: 'aborted' }]).effects.includes('resume'));
  });

  it('lets go of nothing when the line is cut meanwhile, until it hears whose the VM is', () => {
    const cut = source([granted, { type: 'running' }, failed]);
    assert.equal(cut.state.at, 'in-doubt');
    assert.deepEqual(cut.effects.slice(2), ['hold']);
    assert.equal(source([{ type: 'running' }], cut.state).state.at, 'releasing');
    const sent = source([granted, { type: 'running' }, { type: 'completed' }, failed]);
    assert.equal(sent.state.at, 'releasing', 'QEMU had heard that everything is there');
  });

  it('is not to be decided for once it may have run at the destination, also after a restart', () => {
    assert.deepEqual(source([{ type: 'keep' }], sourceRestart('granted', undefined, true).state).effects, []);
    assert.deepEqual(source([{ type: 'keep' }], sourceRestart('granted', undefined).state).effects, ['journal resuming', 'resume']);
  });

  it('takes back what never ran', () => {
    const { state, effects } = source([granted, { type: 'aborted' }]);
    assert.equal(state.at, 'resuming');
    assert.deepEqual(effects.slice(2), ['journal resuming', 'resume']);
  });
});

describe('the destination, by post-copy', () => {
  it('runs the VM with the grant and a QEMU that draws pages, in either order, and not without either', () => {
    for (const events of [
      [grant, drawing],
      [drawing, grant],
    ]) {
      const { state, effects } = destination(events);
      assert.equal(state.at, 'running');
      assert.deepEqual(effects, ['journal run', 'run']);
    }
    for (const events of [[grant, delivered, loaded], [drawing, delivered, loaded], [grant]])
      assert.deepEqual(destination(events).effects, []);
  });

  it('has arrived when every page is here and the source has let go, and not before', () => {
    const running = [grant, drawing, runs];
    assert.deepEqual(destination(running).effects.slice(2), ['say-running']);
    for (const rest of [
      [loaded, delivered],
      [delivered, loaded],
    ]) {
      const { state, effects } = destination([...running, ...rest]);
      assert.deepEqual([state.at, effects.slice(2)], ['ended', ['say-running', 'settle-in', 'journal ended']]);
      assert.equal(destination([...running, rest[0]]).state.at, 'arriving');
    }
    assert.deepEqual(destination([grant, drawing, loaded, delivered, runs]).effects.slice(2), ['settle-in', 'journal ended']);
    const cut = destination([...running, loaded, failed]).state;
    assert.deepEqual([cut.at, cut.at === 'ended' && cut.outcome], ['ended', 'arrived'], 'a line that dies then takes nothing away');
  });

  it('is lost, and never given back, when the rest cannot come', () => {
    for (const events of [
      [grant, drawing, runs, failed],
      [grant, drawing, failed, runs],
    ]) {
      const { state, effects } = destination([...events, { type: 'drop' }, { type: 'aborted' }, { type: 'cancel', failure }]);
      assert.equal(state.at, 'losing');
      assert.ok(effects.includes('end-vm') && !effects.includes('journal aborted') && !effects.includes('abort-channels'));
      const ended = destination([{ type: 'discarded' }], state);
      assert.deepEqual([ended.state.at === 'ended' && ended.state.outcome, ended.effects], ['lost', ['journal ended']]);
    }
  });

  it('is given back where it never ran', () => {
    for (const events of [
      [grant, failed],
      [drawing, grant, failed, { type: 'would-not-run', failure } as const],
    ]) {
      assert.deepEqual(destination(events).effects.slice(-2), ['journal aborted', 'discard']);
    }
  });

  it('finds out after a restart what came of it', () => {
    const { state, effects } = destinationRestart('run', 'running', undefined, true);
    assert.deepEqual(effects, [{ type: 'find-out', runState: 'running', postcopy: true }]);
    assert.deepEqual(destination([{ type: 'loaded' }], state).effects, ['find-out']);
    assert.deepEqual(destination([{ type: 'loaded' }, { type: 'runs' }], state).effects.slice(1), ['settle-in', 'journal ended']);
    assert.deepEqual(destination([{ type: 'starved', failure }], state).effects, ['end-vm']);
    for (const early of [failed, { type: 'cleared' }, { type: 'keep' }] as const) assert.deepEqual(destination([early], state).effects, []);
    assert.deepEqual(destination([{ type: 'would-not-run', failure }], state).effects, ['journal aborted', 'discard']);
  });

  it('says ABORTED only of what it has not run, and runs only once, whatever comes in whatever order', () => {
    const any = fc.constantFrom<DestinationEvent>(
      grant,
      { type: 'drawing' },
      { type: 'loaded' },
      delivered,
      { type: 'runs' },
      failed,
      { type: 'cancel', failure },
      { type: 'aborted' },
      { type: 'vm-gone' },
      { type: 'discarded' },
    );
    fc.assert(
      fc.property(fc.array(any, { maxLength: 16 }), (events) => {
        let state: DestinationState = destinationStart;
        let [ran, aborted] = [false, false];
        for (const event of events) {
          if (event.type === 'runs' && state.at === 'running') ran = true;
          const turn = destinationStep(state, event);
          state = turn.state;
          for (const effect of turn.effects) {
            if (effect.type === 'journal' && effect.step === 'aborted') {
              assert.ok(!ran);
              aborted = true;
            }
            if (effect.type === 'run') assert.ok(!aborted && !ran);
          }
        }
      }),
    );
  });
});
