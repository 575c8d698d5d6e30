import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allPages, behind, collected } from './pages.ts';

const all = Array.from({ length: 2500 }, (_, n) => ({ name: `vm-${String(n).padStart(4, '0')}` }));
const asked: object[] = [];
const page = async (limit: number, last: { name: string } | undefined) => {
  asked.push({ limit, ...behind(last) });
  return all.filter(({ name }) => last === undefined || name > last.name).slice(0, limit);
};

test('every page is asked for behind the last of the one before, and a short one is the last', async () => {
  assert.deepEqual(await collected(page), all);
  assert.deepEqual(asked, [{ limit: 1000 }, { limit: 1000, after: 'vm-0999' }, { limit: 1000, after: 'vm-1999' }]);
});

test('a full last page is followed by an empty one; a manager that knows no pages is asked once', async () => {
  let times = 0;
  const full = await collected(async () => (times++ === 0 ? all.slice(0, 1000) : []));
  assert.deepEqual([full.length, times], [1000, 2]);
  times = 0;
  assert.equal((await collected(async () => (times++ === 0 ? all : assert.fail('asked again')))).length, 2500);
});

test('enough is enough', async () => {
  const seen: string[] = [];
  for await (const { name } of allPages(page, ({ name }) => name === 'vm-0002')) seen.push(name);
  assert.deepEqual(seen, ['vm-0000', 'vm-0001']);
});
