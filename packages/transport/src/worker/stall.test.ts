/** What TCP says of itself in, whether the peer's host has gone out. On real connections: tests/stalled.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TcpProgress } from '../native/progress.ts';
import { tunables } from '../tunables.ts';
import { Stall } from './stall.ts';

const idle: TcpProgress = {
  unacknowledged: 0,
  window: 65_536,
  segmentBytes: 1_448,
  unsentBytes: 0,
  probes: 0,
  acknowledged: 0,
  lastHeardMs: 0,
  roundTripMicros: 100,
  triesMs: 200,
};

/** Looks each second. @returns the second at which it was noticed, or -1 */
function noticedAt(seconds: number, progress: (second: number) => Partial<TcpProgress> | undefined): number {
  let second = 0;
  const stall = new Stall(() => {
    const at = progress(second);
    return at && { ...idle, ...at };
  });
  for (; second <= seconds; second++) if (stall.noticed(second * 1000)) return second;
  return -1;
}

const limit = tunables.stallMs / 1000;

describe('a stall', () => {
  it('is bytes of which none is acknowledged for as long as that', () => {
    assert.equal(
      noticedAt(60, (second) => ({ unacknowledged: second < 5 ? 0 : 3, acknowledged: 7 })),
      5 + limit,
    );
  });

  it('begins anew with each byte that is acknowledged', () => {
    assert.equal(
      noticedAt(60, (second) => ({ unacknowledged: 3, acknowledged: Math.floor(Math.min(second, 29) / 9) })),
      27 + limit,
    );
  });

  it('is also a window probe that nobody answers', () => {
    assert.equal(
      noticedAt(60, (second) => ({ probes: second < 5 ? 0 : 1, window: 0, lastHeardMs: second < 5 ? 0 : (second - 4) * 1000 })),
      5 + limit,
    );
  });

  it('is not a closed window, with probes that are answered, however often one is just on its way', () => {
    assert.equal(
      noticedAt(3600, () => ({ window: 0, probes: 1, lastHeardMs: 900 })),
      -1,
    );
    assert.equal(
      noticedAt(3600, () => ({ window: 0, probes: 0, lastHeardMs: 120_000 })),
      -1,
    );
  });

  it('is not a segment that a peer with a closed window has thrown away', () => {
    assert.equal(
      noticedAt(3600, () => ({ window: 0, unacknowledged: 2, lastHeardMs: 60_000 })),
      -1,
    );
  });

  it('is not an idle connection, nor one that is not TCP', () => {
    assert.equal(
      noticedAt(3600, () => ({ lastHeardMs: 3_600_000 })),
      -1,
    );
    assert.equal(
      noticedAt(3600, () => undefined),
      -1,
    );
  });

  it('is not a pause of this thread, after which bytes are on their way', () => {
    const looks: Partial<TcpProgress>[] = [{}, { unacknowledged: 2 }, { unacknowledged: 2 }];
    const stall = new Stall(() => ({ ...idle, ...looks.shift() }));
    for (const now of [0, 60_000, 61_000]) assert.equal(stall.noticed(now), false);
  });
});
