import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TransportError } from './errors.ts';
import { Pool } from './pool.ts';
import { Session } from './session.ts';
import { Heard, testAttempt } from './testing/pair.ts';
import type { GateCommand } from './worker/messages.ts';

/** Nothing that the main thread sends: the gate throws on it, which ends its thread. */
const poison = { kind: 'expect', migration: 'no such' } as unknown as GateCommand; // that it is none is the point

describe('a thread that ends by itself', () => {
  it('fails the sessions once, and does not keep them from being dropped', async () => {
    const heard = new Heard();
    const deaths: TransportError[] = [];
    let gone = false;
    const pool = new Pool(1, {
      gate: (report) => 'session' in report && session.report(report),
      pump: (report) => session.report(report),
      death: (error) => {
        deaths.push(error);
        session.threadDied(error);
      },
    });
    const session: Session = new Session(1, 'source', testAttempt(), pool, heard.handlers, { epochBits: 16, keylogFd: undefined }, () => {
      gone = true;
    });
    try {
      pool.gate.post(poison);
      await heard.until(({ failures }) => failures.length > 0);
      assert.equal(heard.failures[0]?.code, 'local');
      assert.ok(heard.failures[0].cause instanceof RangeError);
      assert.equal(pool.gate.post({ kind: 'unlisten' }), false);
      await session.drop();
      assert.ok(gone);
      assert.deepEqual([heard.failures.length, deaths.length], [1, 1]);
    } finally {
      await pool.stop();
    }
  });

  it('answers for a drop that was waiting for it', async () => {
    const heard = new Heard();
    const pool = new Pool(1, {
      gate: (report) => 'session' in report && session.report(report),
      pump: (report) => session.report(report),
      death: (error) => session.threadDied(error),
    });
    const session: Session = new Session(
      1,
      'source',
      testAttempt(),
      pool,
      heard.handlers,
      { epochBits: 16, keylogFd: undefined },
      () => undefined,
    );
    try {
      // Both before the thread looks at its messages: the drop is never answered.
      pool.gate.post(poison);
      await session.drop();
    } finally {
      await pool.stop();
    }
  });
});
