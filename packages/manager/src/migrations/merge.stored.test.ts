import assert from 'node:assert/strict';
import { it } from 'node:test';
import { SealiftError } from '@sealift/contract';
import { migrationOf } from '../testing/records.ts';
import { merge } from './merge.ts';

it('a migration that never began keeps its reason when it is stored', () => {
  const doubt = new SealiftError('agent_unreachable', 'host alpha does not answer');
  const accounts = { source: { missing: { vm: 'running' as const } }, destination: {}, now: 0, channels: 4, doubt };
  const { migration } = merge(migrationOf('redis').migration, accounts);
  const { failure } = JSON.parse(JSON.stringify(migration));
  assert.deepEqual(failure, { code: 'agent_unreachable', message: 'host alpha does not answer' });
});
