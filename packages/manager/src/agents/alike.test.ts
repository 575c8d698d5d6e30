import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Alike } from './alike.ts';

const json = fc.jsonValue({ maxDepth: 2 });

it('one of what is alike is kept, whoever said it; what is not alike is not taken for it', () => {
  fc.assert(
    fc.property(fc.array(json, { maxLength: 6 }), json, (values, last: unknown) => {
      const alike = new Alike();
      const read = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
      for (const value of values) {
        assert.deepEqual(alike.same(read(value), last), read(value));
        const first = alike.same(read(value), undefined);
        assert.equal(alike.same(read(value), undefined), first);
        assert.equal(alike.same(read(value), first), first);
      }
    }),
  );
});
