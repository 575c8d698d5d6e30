import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Migration, MigrationPhase } from '@sealift/contract';
import fc from 'fast-check';
import { cancelled, clear, completed, copying, failed, ordered, progress } from '../testing/samples.ts';
import { clearWarning, isDue, plainLine, portionDone, progressLines, summaryLines } from './render.ts';

const plain = { columns: 100, colour: false };
const colourful = { columns: 100, colour: true };

test('progress shows who, where, how and how far', () => {
  assert.deepEqual(progressLines(copying, plain), [
    'demo  alpha → bravo  SEALED  copying memory',
    '███████████████░░░░░░░░░░░░░░░  52 %  112 MB/s  242 MiB left  dirty 3.2 MB/s  1.23 s  pass 2',
  ]);
  assert.deepEqual(progressLines(ordered, plain), ['demo  alpha → bravo  SEALED  preparing']);
});

test('what does not fit the terminal is left away from the end', () => {
  assert.deepEqual(progressLines(copying, { columns: 60, colour: false }), [
    'demo  alpha → bravo  SEALED  copying memory',
    '█████░░░░░  52 %  112 MB/s  242 MiB left  dirty 3.2 MB/s',
  ]);
});

test('no line of progress is wider than the terminal, whatever the migration', () => {
  const phase = fc.constantFrom(...MigrationPhase.anyOf.map((each) => each.const));
  fc.assert(
    fc.property(fc.integer({ min: 45, max: 250 }), phase, fc.nat(), fc.nat(), fc.nat(99), (columns, at, remaining, rate, throttle) => {
      const now = { ...progress, phase: at, throughputMBps: rate, throttlePercent: throttle, ram: { ...progress.ram, remaining } };
      for (const line of progressLines({ ...copying, phase: at, progress: now }, { columns, colour: false })) {
        assert.ok(line.length < columns, `${line.length} in ${columns}: ${line}`);
      }
    }),
  );
});

test('plain lines stand for themselves', () => {
  assert.equal(
    plainLine(copying),
    'demo alpha → bravo sealed copying memory: 52 %, 112 MB/s, 242 MiB left, dirty 3.2 MB/s, 1.23 s, pass 2, budget 45 ms, 300 MiB on the wire',
  );
  assert.equal(
    plainLine({ ...copying, progress: { ...progress, phase: 'releasing' } }),
    'demo alpha → bravo sealed releasing the source: 100 %, 112 MB/s, 1.23 s, pass 2, 300 MiB on the wire',
  );
  assert.equal(plainLine(failed), 'demo alpha → bravo sealed FAILED');
});

test('how far the guest is slowed and the budget has grown is said while it counts', () => {
  const slowed = { ...progress, throttlePercent: 60, downtimeMs: 300 };
  assert.match(plainLine({ ...copying, progress: slowed }), /, guest slowed 60 %, pass 2, budget 300 ms, /);
  assert.doesNotMatch(plainLine({ ...copying, progress: { ...slowed, phase: 'granted' } }), /budget/);
  const { downtimeMs: _, ...older } = slowed;
  assert.doesNotMatch(plainLine({ ...copying, progress: older }), /budget|undefined/);
});

test('plain lines are due at the start, at a new phase and every five seconds of its own clock', () => {
  const later = (elapsedMs: number): Migration => ({ ...copying, progress: { ...progress, elapsedMs } });
  assert.ok(isDue(ordered, undefined));
  assert.ok(isDue(copying, ordered));
  assert.ok(!isDue(later(6000), copying));
  assert.ok(isDue(later(6234), copying));
  assert.ok(isDue(completed, copying));
  const across: Migration = { ...copying, progress: { ...progress, phase: 'completed' } };
  assert.ok(isDue(across, copying));
  assert.ok(!isDue({ ...completed, progress: { ...progress, phase: 'completed' } }, across), 'the end is told once');
});

test('a clear migration is called CLEAR everywhere, with the reason, and a sealed one nowhere', () => {
  const texts = (migration: Migration): string[] => [
    progressLines({ ...migration, progress }, plain).join('\n'),
    plainLine(migration),
    summaryLines(migration, plain).join('\n'),
  ];
  const toldClear: Migration = { ...completed, ...clear };
  for (const text of texts(toldClear)) assert.match(text, /CLEAR/);
  for (const text of texts(completed)) assert.doesNotMatch(text, /CLEAR/);
  assert.deepEqual(clearWarning({ ...ordered, ...clear }, plain), [
    'CLEAR Memory moves over the network WITHOUT encryption: the order asked for it',
  ]);
  assert.match(summaryLines(toldClear, plain).join('\n'), /NOT encrypted: the order asked for it/);
  assert.deepEqual(clearWarning(ordered, plain), []);
  assert.ok(clearWarning({ ...ordered, ...clear }, colourful)[0]?.includes('[7mCLEAR'));
});

test('the summary says what was measured', () => {
  assert.deepEqual(summaryLines(completed, plain), [
    'demo moved from alpha to bravo, SEALED',
    '  switch-over time    68.1 ms ± 0.10 ms',
    '  migration time      3.21 s',
    '  on the wire         537 MiB in 2143 records on 4 channels, 167 MB/s',
    '  CPU at source       QEMU 1.20 s, channels 2.10 s',
    '  CPU at destination  QEMU 0.90 s, channels 2.00 s',
  ]);
});

test('the summary says where the VM is when it did not move', () => {
  assert.deepEqual(summaryLines(cancelled, plain), ['demo was not moved: the migration was cancelled. It stayed at alpha.']);
  assert.deepEqual(summaryLines(failed, plain), [
    'demo was not moved: bravo did not answer for 10 s (stalled). It stayed at alpha.',
    'Look at the line.',
    `Details: sealift migration show ${failed.id}`,
  ]);
  assert.match(summaryLines({ ...failed, phase: 'lost' }, plain).join('\n'), /MEMORY LOST.*neither alpha nor bravo/);
});

test('the portion done stays between nothing and all', () => {
  assert.equal(portionDone({ ...progress, ram: { ...progress.ram, total: 0 } }), 0);
  assert.equal(portionDone({ ...progress, ram: { ...progress.ram, remaining: 2 ** 40 } }), 0);
  assert.equal(portionDone({ ...progress, phase: 'granted' }), 1);
});
