import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { checkerKey, compileChecker } from './checker.ts';

let folder: string;
let checker: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checker-'));
  checker = join(folder, 'checker');
  await compileChecker(checker);
});
after(() => rm(folder, { recursive: true, force: true }));

const check = (...args: string[]) =>
  new Promise<{ status: number; errors: number; stdout: string }>((resolve, reject) => {
    execFile(checker, args, (error, stdout) => {
      const status = error === null ? 0 : Number(error.code);
      const match = /errors (\d+) pages/.exec(stdout);
      if (match === null) return reject(new Error(`no result: ${stdout}`));
      resolve({ status, errors: Number(match[1]), stdout });
    });
  });

test('sound memory has no errors', async () => {
  const { status, stdout } = await check('2', '0', '10');
  assert.equal(status, 0);
  assert.equal(stdout, `HSET ${checkerKey} passes 10 errors 0 pages 512\n`);
});

// A page is damaged before pass 5 of 10 and stays so: five errors a damaged page.
for (const [damage, errors] of [
  ['stale', 5],
  ['lost', 5],
  ['torn', 5],
  ['swapped', 10],
] as const) {
  test(`a ${damage} page is counted in every pass that follows`, async () => {
    assert.deepEqual(await check('2', '0', '10', damage).then(({ status, errors }) => ({ status, errors })), { status: 1, errors });
  });
}
