import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationSpec } from '@sealift/contract';
import { checkSpec } from './spec.ts';

const self = { name: 'bravo', keyHash: 'b'.repeat(64) };
const spec = (expiresAt: number): MigrationSpec => ({
  ...{ protocolVersion: 1, migration: '5f0c1c52-6a0e-4f38-9b6b-0c2a5a1f7f10', attempt: 1, nonce: 'AAAAAAAAAAA', suite: 'aes-256-gcm' },
  ...{ source: { name: 'alpha', keyHash: 'a'.repeat(64) }, destination: self, channels: 2, expiresAt },
  limits: { bandwidthBytesPerSecond: 0, downtimeMs: 30, maxDowntimeMs: 300, deadlineMs: 60_000, maxThrottlePercent: 80, postcopy: false },
});

test('a host whose clock is behind, or ahead by less than what the spec has left, takes it', () => {
  const ordered = Date.parse('2026-01-01T12:00:00Z');
  for (const offsetMs of [-86_400_000, -60_000, 0, 60_000]) checkSpec(spec(ordered + 120_000), 'destination', self, ordered + offsetMs);
});

test('a host whose clock is further ahead says by how much, and what to do', () => {
  const now = Date.parse('2026-01-01T12:00:00Z');
  assert.throws(() => checkSpec(spec(now - 30_500), 'destination', self, now), {
    code: 'invalid_request',
    message:
      "by the clock of host bravo, which says 2026-01-01T12:00:00.000Z, the spec expired 31 s ago. Where the migration was ordered just now, that clock is ahead of the manager's: set it (timedatectl), then order the migration again",
  });
});
