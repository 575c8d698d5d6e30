import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { AttemptReport, MigrationPhase } from '@sealift/contract';
import { progressMs, sparsely } from './sparse.ts';

const report = (phase: MigrationPhase, elapsedMs: number, rest: Partial<AttemptReport> = {}): AttemptReport => ({
  ...{ migration: '6c0ff9d2-0b3b-4d0f-9d36-4c1a3dcf1f50', attempt: 1, role: 'source', vm: 'web', phase },
  progress: {
    ...{ phase, elapsedMs, bytesOnWire: 0, throughputMBps: 0, throttlePercent: 0, channels: [] },
    ram: { total: 0, transferred: 0, remaining: 0, dirtyBytesPerSecond: 0, passes: 0 },
  },
  ...rest,
});

it('leaves out progress that comes too early, and nothing else', async () => {
  const all = [
    report('connecting', 1),
    report('copying', 2),
    report('copying', 3),
    report('copying', 4, { resolved: 'source' }),
    report('copying', 5, { resolved: 'source' }),
    report('completed', 6, { resolved: 'source' }),
  ];
  const passed = async (ms: number) => {
    async function* each() {
      yield* all;
    }
    const told: (number | undefined)[] = [];
    for await (const { progress } of sparsely(each(), ms)) told.push(progress?.elapsedMs);
    return told;
  };
  assert.deepEqual(await passed(60_000), [1, 2, 4, 6]);
  assert.deepEqual(await passed(0), [1, 2, 3, 4, 5, 6]);
});

it('reads the preference where there is one', () => {
  const read: [unknown, number][] = [
    [undefined, 0],
    ['wait=3', 0],
    ['progress=2', 2000],
    ['respond-async, progress=2', 2000],
    ['progress=9999', 60_000],
    ['noprogress=2', 0],
    ['progress=-2', 0],
  ];
  for (const [prefer, ms] of read) assert.equal(progressMs(prefer), ms, String(prefer));
});
