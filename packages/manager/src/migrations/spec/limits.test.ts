import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MigrationOrder } from '@sealift/contract';
import { Value } from 'typebox/value';
import { toLimits, toMultifdChannels } from './limits.ts';

const defaults = {
  bandwidthBytesPerSecond: 0,
  downtimeMs: 30,
  maxDowntimeMs: 300,
  deadlineMs: 3_600_000,
  maxThrottlePercent: 80,
  postcopy: false,
};

describe('the limits of an order', () => {
  it('are the defaults where it says nothing', () => {
    assert.deepEqual(toLimits(), defaults);
    assert.deepEqual(toLimits({ maxThrottlePercent: 0 }), { ...defaults, maxThrottlePercent: 0 });
  });

  it('let the budget grow no further than it begins, where it begins beyond the default', () => {
    assert.deepEqual(toLimits({ downtimeMs: 5_000 }), { ...defaults, downtimeMs: 5_000, maxDowntimeMs: 5_000 });
    // As the API hands it on, which fills in the schema's defaults.
    const order = Value.Parse(MigrationOrder, Value.Default(MigrationOrder, { to: 'bravo', limits: { downtimeMs: 5_000 } }));
    assert.equal(toLimits(order.limits).maxDowntimeMs, 5_000);
    assert.deepEqual(toLimits({ downtimeMs: 20, maxDowntimeMs: 20 }), { ...defaults, downtimeMs: 20, maxDowntimeMs: 20 });
  });

  it('are refused where the budget would have to shrink, naming both', () => {
    const refused = { name: 'SealiftError', code: 'invalid_request', message: /maxDowntimeMs is 10 ms.*downtimeMs, 30 ms/ };
    assert.throws(() => toLimits({ maxDowntimeMs: 10 }), refused);
    assert.throws(() => toLimits({ downtimeMs: 30, maxDowntimeMs: 10 }), refused);
  });
});

describe('the parallel channels of an order', () => {
  it('are two where it says nothing, and none with post-copy', () => {
    assert.equal(toMultifdChannels({ to: 'bravo' }), 2);
    assert.equal(toMultifdChannels({ to: 'bravo', multifdChannels: 4 }), 4);
    assert.equal(toMultifdChannels({ to: 'bravo', limits: { postcopy: true } }), 0);
    assert.equal(toMultifdChannels({ to: 'bravo', multifdChannels: 0, limits: { postcopy: true } }), 0);
  });

  it('are refused together with post-copy, naming both', () => {
    const order = { to: 'bravo', multifdChannels: 4, limits: { postcopy: true } };
    assert.throws(() => toMultifdChannels(order), { code: 'invalid_request', message: /post-copy and for 4 parallel channels/ });
  });
});
