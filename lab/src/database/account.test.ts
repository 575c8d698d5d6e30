import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accountOf, ledgerProblems, parseLog } from './account.ts';

const log = `1 1 21500 0 1000 900000
0 1 20500 0 1000 950000
0 2 21000 0 1001 100000
1 2 2500000 0 1003 400000
0 3 20000 0 1003 450000
0 4 20000 0 1004 50000
`;

test('what pgbench writes down becomes seconds, the longest gap, and what each client was told', () => {
  assert.deepEqual(accountOf(7, 3, parseLog(log)), {
    load: 7,
    clients: 3,
    told: [4, 2, 0],
    commits: 6,
    seconds: [
      { at: 1_001_000, commits: 1 },
      { at: 1_002_000, commits: 0 },
      { at: 1_003_000, commits: 2 },
    ],
    longestGapMs: 2300,
    longestGapAt: 1_001_100,
    slowestMs: 2500,
  });
  assert.deepEqual(accountOf(7, 1, []).seconds, []);
  assert.throws(() => parseLog('0 1 failed 0 1000 900000\n'), /no transaction that was committed: 0 1 failed/);
});

test('a ledger has every commit that was told of, without a hole, and at most the one after', () => {
  const account = accountOf(7, 2, parseLog('0 1 1 0 1 0\n0 2 1 0 2 0\n'));
  const row = (rows: number, most: number, least = 1) => ledgerProblems(account, [{ client: 0, rows, least, most }]);
  assert.deepEqual(row(2, 2), []);
  assert.deepEqual(row(3, 3), []);
  assert.match(row(1, 1).join(), /client 0: it was told of 2 commits, and the ledger ends at 1/);
  assert.match(row(2, 3).join(), /2 rows from 1 to 3: some are missing/);
  assert.match(row(2, 3, 2).join(), /some are missing/);
  assert.match(row(4, 4).join(), /has 4/);
  assert.match(ledgerProblems(account, []).join(), /ends at 0/);
  assert.deepEqual(ledgerProblems(accountOf(7, 1, []), []), []);
});
