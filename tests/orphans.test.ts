/**
 * What the kernel keeps of a session that is over. A connection that its process has closed goes on in the kernel until everything was
 * acknowledged and the peer's FIN has come: Linux' own limits for that are 60 s and about 100 s. docs/adr/0011.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { needsRoot } from '../packages/agent/src/testing/namespace.ts';
import { tunables } from '../packages/transport/src/tunables.ts';
import { Ends } from './support/ends.ts';
import type { Host } from './support/wire.ts';

interface Socket {
  readonly state: string;
  /** Of the kernel's timer for it, as `ss` says it: kind and what is left. */
  readonly timer: string;
}

/** The sockets on the port of channels that no process has open; but for TIME-WAIT, which is after everything has been said. */
async function orphans(ends: Ends, host: Host): Promise<Socket[]> {
  const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', ends.wire.namespace(host), 'ss', '-tanoeH', 'sport = :8651']);
  return stdout
    .split('\n')
    .filter((line) => /timer:/.test(line) && /\bino:0\b/.test(line) && !/^TIME-WAIT/.test(line))
    .map((line) => ({ state: /^\S+/.exec(line)?.[0] ?? '', timer: /timer:\((\w+,[^,]*)/.exec(line)?.[1] ?? '' }));
}

/** @param fits what is waited for; @throws once the kernel would have come there by itself */
async function until(ends: Ends, host: Host, fits: (found: readonly Socket[]) => boolean): Promise<readonly Socket[]> {
  const beginning = performance.now();
  for (;;) {
    const found = await orphans(ends, host);
    if (fits(found)) return found;
    assert.ok(performance.now() - beginning < 55_000, `still there at the ${host}: ${JSON.stringify(found)}`);
    await sleep(50);
  }
}

describe('of a session that is over', { concurrency: true, timeout: 120_000, skip: needsRoot }, () => {
  it('a connection does not wait a minute for the FIN of a peer that says nothing more', async () => {
    await using ends = await Ends.carrying();
    // Its host goes on to acknowledge.
    ends.source.child.kill('SIGSTOP');
    ends.destination.do({ kind: 'leave' });
    await ends.destination.says('left');
    const waiting = await until(ends, 'destination', (found) => found.length === 0 || found.some(({ state }) => state === 'FIN-WAIT-2'));
    for (const { state, timer } of waiting) {
      if (state !== 'FIN-WAIT-2') continue;
      const seconds = /^timewait,([\d.]+)(ms|sec)$/.exec(timer);
      assert.ok(seconds, timer);
      assert.ok(seconds[2] === 'ms' || Number(seconds[1]) <= tunables.finSeconds, timer);
    }
    await until(ends, 'destination', (found) => found.length === 0);
  });

  it('a connection that ended in order does not go on repeating its last words on a line that carries nothing', async () => {
    await using ends = await Ends.carrying();
    // What the destination says is lost; it hears the source's CLOSE, says its own, and takes the channel for ended.
    await ends.wire.mute('destination', 0);
    ends.source.do({ kind: 'finish' });
    await until(ends, 'destination', (found) => found.some(({ state }) => state === 'FIN-WAIT-1' || state === 'LAST-ACK'));
    await until(ends, 'destination', (found) => found.length === 0);
  });
});
