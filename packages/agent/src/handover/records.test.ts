import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DestinationRecord, liveRecords, type SourceRecord, unheardMs } from './records.ts';

const now = 1_800_000_000_000;
const peer = { name: 'bravo', keyHash: '0'.repeat(64), endpoint: '192.0.2.2:8652' };
const common = { attempt: 1, vm: 'web', peer, expiresAt: now - 1 };
const source = (migration: string, more: Partial<SourceRecord>): SourceRecord => ({
  ...common,
  role: 'source',
  migration,
  step: 'ended',
  runState: 'running',
  ...more,
});
const destination = (migration: string, more: Partial<DestinationRecord>): DestinationRecord => ({
  ...common,
  role: 'destination',
  migration,
  step: 'ended',
  ...more,
});

describe('what compaction keeps of the journal', () => {
  it('is the last record of each attempt that has not ended, however old', () => {
    const records = [source('a', { step: 'accepted' }), source('a', { step: 'granted' }), destination('b', { step: 'run' })];
    assert.deepEqual(liveRecords(records, now + 10 * unheardMs), [records[1], records[2]]);
  });

  it('is an end until the spec has expired, and for long where the other host may not have heard of it', () => {
    const heard = destination('a', { outcome: 'arrived', heard: true });
    const unheard = destination('b', { outcome: 'discarded' });
    const young = source('c', { outcome: 'released', heard: true, expiresAt: now + 1 });
    assert.deepEqual(liveRecords([heard, unheard, young], now), [unheard, young]);
    assert.deepEqual(liveRecords([heard, unheard, young], now + unheardMs + 1), []);
  });
});
