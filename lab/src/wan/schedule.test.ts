import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Seeded } from '../chaos/seeded.ts';
import { type Conditions, changed, cleanLine, fullFrameBytes, reorderLagMs } from './conditions.ts';
import { Schedule } from './schedule.ts';

const frame = fullFrameBytes;
/** At 1 Gb/s. */
const frameMs = (frame * 8) / 1e6;

interface Arrival {
  readonly frame: number;
  readonly due: number;
  readonly late: boolean;
}

/** Offers packets of full frames and tells what became of each frame, numbered through. */
const send = (schedule: Schedule, packets: Iterable<{ readonly at: number; readonly frames: number }>): Arrival[] => {
  const arrivals: Arrival[] = [];
  let number = 0;
  for (const { at, frames } of packets) {
    const runs = schedule.offer(at, frames, frame, frame);
    const { first, count, due, late } = schedule.runs;
    for (let run = 0; run < runs; run++) {
      for (let each = 0; each < (count[run] ?? 0); each++) {
        arrivals.push({ frame: number + (first[run] ?? 0) + each, due: due[run] ?? Number.NaN, late: late[run] === 1 });
      }
    }
    number += frames;
  }
  return arrivals;
};

const line = (change: Partial<Conditions>, seed = 1) => new Schedule(changed(cleanLine, change), new Seeded(seed));
const burst = (packets: number, frames: number, at = 0) => Array.from({ length: packets }, () => ({ at, frames }));
/** Packets at the line's own rate. */
const steady = (packets: number, frames: number) =>
  Array.from({ length: packets }, (_, index) => ({ at: index * frames * frameMs, frames }));

describe('one direction of a line', () => {
  it('delays by half the round trip and the time that sending takes', () => {
    assert.deepEqual(send(line({ rttMs: 50 }), [{ at: 7, frames: 1 }]), [{ frame: 0, due: 7 + frameMs + 25, late: false }]);
  });

  it('carries what it is offered at its rate, no faster and no slower, in packets of any size', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 45 }), { minLength: 1, maxLength: 40 }), fc.nat(1000), (sizes, rttMs) => {
        const arrivals = send(
          line({ rttMs, queueBytes: 1e9 }),
          sizes.map((frames) => ({ at: 3, frames })),
        );
        const total = sizes.reduce((sum, each) => sum + each, 0);
        assert.equal(arrivals.length, total);
        let sent = 0;
        const expected = sizes.flatMap((frames) => {
          sent += frames;
          return Array.from({ length: frames }, () => 3 + sent * frameMs + rttMs / 2);
        });
        for (const [index, { due }] of arrivals.entries()) assert.ok(Math.abs(due - (expected[index] ?? 0)) < 1e-6);
      }),
    );
  });

  it('does not save up time in which nothing was offered', () => {
    const schedule = line({});
    send(schedule, [{ at: 0, frames: 1 }]);
    const arrivals = send(schedule, burst(10, 1, 1000));
    assert.ok(Math.abs((arrivals.at(-1)?.due ?? 0) - (1000 + 10 * frameMs)) < 1e-6);
  });

  it('drops at the tail, frame by frame, what the queue has no room for, and fills it to the last frame', () => {
    const schedule = line({ queueBytes: 100 * frame });
    const arrivals = send(schedule, burst(3, 45));
    assert.deepEqual(
      arrivals.map((each) => each.frame),
      Array.from({ length: 100 }, (_, index) => index),
    );
    assert.equal(schedule.counts.dropped, 35);
    assert.ok(Math.abs(schedule.queued(0) - 100 * frame) < 1);
    // Half of it has been sent by then.
    assert.equal(send(schedule, burst(60, 1, 50 * frameMs + 1e-6)).length, 50);
  });

  it('loses the share of frames that it is set to, whether they come one by one or many at once, each by itself', () => {
    for (const loss of [0.001, 0.01, 0.1]) {
      for (const frames of [1, 45]) {
        const [schedule, packets] = [line({ loss }, 7), Math.ceil(200_000 / frames)];
        const got = new Set(send(schedule, steady(packets, frames)).map((each) => each.frame));
        const total = packets * frames;
        const { lost, dropped, carried, offered } = schedule.counts;
        assert.deepEqual([offered, dropped, lost + carried], [total, 0, total]);
        assert.equal(got.size, carried);
        const spread = Math.sqrt(total * loss * (1 - loss));
        assert.ok(Math.abs(lost - total * loss) < 4 * spread, `${lost} of ${total} lost at ${loss}`);
        // Two in a row as often as chance has it.
        let pairs = 0;
        for (let index = 1; index < total; index++) if (!got.has(index) && !got.has(index - 1)) pairs++;
        const expected = total * loss * loss;
        assert.ok(Math.abs(pairs - expected) < 5 * Math.sqrt(expected) + 1, `${pairs} pairs, ${expected} expected`);
      }
    }
    assert.equal(send(line({ loss: 1 }), steady(100, 45)).length, 0);
  });

  it('lost frames took their time on the line', () => {
    const [last] = send(line({ loss: 0.5 }, 3), burst(20, 45)).slice(-1);
    assert.ok(last && last.due > 850 * frameMs);
  });

  it('never goes back within those in order and within the late ones; the late are overtaken by what was sent within their lag', () => {
    const conditions = fc.record({
      rttMs: fc.nat(200),
      jitterMs: fc.nat(30),
      loss: fc.constantFrom(0, 0.01),
      reorder: fc.constantFrom(0, 0.01, 0.2),
    });
    const packets = fc.array(fc.record({ gap: fc.double({ min: 0, max: 20, noNaN: true }), frames: fc.integer({ min: 1, max: 45 }) }), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(conditions, conditions, packets, fc.nat(), (before, after, offered, seed) => {
        let at = 0;
        const timed = offered.map(({ gap, frames }) => {
          at += gap;
          return { at, frames };
        });
        const schedule = line({ ...before, queueBytes: 1e9 }, seed);
        const half = Math.floor(timed.length / 2);
        const first = send(schedule, timed.slice(0, half));
        schedule.change(changed(cleanLine, { ...after, queueBytes: 1e9 }));
        const second = send(schedule, timed.slice(half));
        for (const late of [false, true]) {
          const dues = [...first, ...second].filter((each) => each.late === late).map((each) => each.due);
          assert.deepEqual(
            dues,
            dues.toSorted((a, b) => a - b),
          );
        }
      }),
    );
    const schedule = line({ reorder: 0.01, rttMs: 150, queueBytes: 1e9 }, 11);
    const arrivals = send(schedule, steady(4000, 5));
    const late = arrivals.filter((each) => each.late);
    assert.equal(late.length, schedule.counts.late);
    assert.ok(late.length > 140 && late.length < 260, `${late.length} of 20000 late`);
    for (const each of late.filter(({ frame: number }) => number < 19_000)) {
      const overtaken = arrivals.filter((other) => other.frame > each.frame && other.due < each.due).length;
      // Never less than its lag's worth, but for what shares its packet and for other late ones; what comes in packets arrives up to one later.
      assert.ok(overtaken >= reorderLagMs / frameMs - 12 && overtaken <= reorderLagMs / frameMs + 12, `${overtaken} overtook`);
    }
  });

  it('adds between nothing and the jitter, all of it in time, and keeps the order', () => {
    const arrivals = send(
      line({ rttMs: 100, jitterMs: 20 }, 5),
      Array.from({ length: 20_000 }, (_, index) => ({ at: index, frames: 1 })),
    );
    const added = arrivals.map(({ due, frame: index }) => due - index - 50 - frameMs);
    assert.ok(Math.min(...added) > -1e-6 && Math.min(...added) < 1, `least ${Math.min(...added)}`);
    assert.ok(Math.max(...added) < 20 + 1e-6 && Math.max(...added) > 19, `most ${Math.max(...added)}`);
    const mean = added.reduce((sum, each) => sum + each, 0) / added.length;
    assert.ok(mean > 9 && mean < 11, `mean ${mean}`);
    for (const [index, { due }] of arrivals.entries()) assert.ok(due >= (arrivals[index - 1]?.due ?? 0));
  });

  it('lets nothing through while it is down, and afterwards owes nothing to what was cut off', () => {
    const schedule = line({ queueBytes: 1e9 });
    send(schedule, burst(1000, 45));
    schedule.change({ ...cleanLine, down: true });
    schedule.clear(10);
    assert.deepEqual(send(schedule, burst(10, 45, 11)), []);
    assert.equal(schedule.counts.cut, 450);
    schedule.change(cleanLine);
    const [arrival] = send(schedule, [{ at: 12, frames: 1 }]);
    assert.ok(arrival && Math.abs(arrival.due - 12 - frameMs) < 1e-9);
  });

  it('does the same for the same seed, and otherwise for another', () => {
    const fate = (seed: number) => send(line({ loss: 0.05, reorder: 0.05, jitterMs: 10 }, seed), steady(200, 10));
    assert.deepEqual(fate(1), fate(1));
    assert.notDeepEqual(fate(1), fate(2));
  });
});
