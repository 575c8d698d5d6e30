import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LoadReport } from '../workload/protocol.ts';
import { judge } from './judge.ts';
import type { DemoMigration } from './result.ts';

const sealed: DemoMigration = {
  suite: 'aes-256-gcm',
  from: 'alpha',
  to: 'bravo',
  channels: 2,
  migrationMs: 1,
  switchOverMs: 1,
  guestGapMs: 1,
  bytesOnWire: 100,
  throughputMBps: 1,
  acknowledgedWrites: 5,
  lostWrites: 0,
  wrongValues: 0,
  capturedBytes: 100,
  markersPlanted: 9,
  markersSeen: 0,
  cpuSeconds: { source: { qemu: 0, transport: 0 }, destination: { qemu: 0, transport: 0 } },
};
const clear: DemoMigration = { ...sealed, suite: 'none', markersSeen: 9 };
const load: LoadReport = {
  acknowledgedWrites: 9,
  lostWrites: 0,
  wrongValues: 0,
  reconnects: 0,
  refusedWrites: 0,
  guestGapMs: 1,
  clientLagMs: 1,
};
const checker = { passes: 3, errors: 0, pages: 9 };

test('nothing to object to', () => {
  assert.deepEqual(judge([sealed, clear], load, checker), []);
});

test('each promise that is broken is said', () => {
  const broken: readonly [RegExp, Parameters<typeof judge>][] = [
    [/1 pieces .* migration 1, alpha to bravo, sealed/, [[{ ...sealed, markersSeen: 1 }], load, checker]],
    [/no marker was seen .* clear/, [[sealed, { ...clear, markersSeen: 0 }], load, checker]],
    [/3 lost writes in migration 1/, [[{ ...sealed, lostWrites: 3 }], load, checker]],
    [/1 wrong values in migration 1/, [[{ ...clear, wrongValues: 1 }], load, checker]],
    [/holds 99 bytes and sealift sent 100/, [[{ ...sealed, capturedBytes: 99 }], load, checker]],
    [/2 lost writes in all/, [[], { ...load, lostWrites: 2 }, checker]],
    [/2 wrong values in all/, [[], { ...load, wrongValues: 2 }, checker]],
    [/1 broken client connections/, [[], { ...load, reconnects: 1 }, checker]],
    [/1 refused writes/, [[], { ...load, refusedWrites: 1 }, checker]],
    [/4 memory errors in 3 passes/, [[], load, { ...checker, errors: 4 }]],
    [/not finished a pass/, [[], load, { ...checker, passes: 0 }]],
  ];
  for (const [problem, args] of broken) {
    const problems = judge(...args);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', problem);
  }
});
