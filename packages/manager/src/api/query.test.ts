import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Type } from 'typebox';
import { readQuery } from './query.ts';

const schema = Type.Object({
  limit: Type.Optional(Type.Integer()),
  running: Type.Optional(Type.Boolean()),
  name: Type.Optional(Type.String()),
});

it('a query is read by its schema, and nothing else is changed', () => {
  for (const [query, read] of [
    [
      { limit: '7', running: 'true', name: '7' },
      { limit: 7, running: true, name: '7' },
    ],
    [
      { limit: '-1', running: 'false' },
      { limit: -1, running: false },
    ],
    [{ limit: '7.5' }, { limit: '7.5' }],
    [{ limit: '' }, { limit: '' }],
    [{ limit: '1e3' }, { limit: '1e3' }],
    [{ limit: '99999999999999999999' }, { limit: '99999999999999999999' }],
    [{ limit: ['1', '2'] }, { limit: ['1', '2'] }],
    [{ running: 'yes' }, { running: 'yes' }],
    [{ other: '1' }, { other: '1' }],
  ] as const) {
    assert.deepEqual(readQuery(schema, query), read);
  }
});
