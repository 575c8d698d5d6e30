import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, errorCodes, SealiftError } from '@sealift/contract';
import { complaintOf, exitCodesHelp, UsageError } from './exit-codes.ts';

test('every error code of the API is listed under its own exit status', async () => {
  const sections = (await exitCodesHelp()).split(/^ {2}(?=[ \d]{2}\d {2}\S)/m).slice(1);
  const statusOf = new Map<string, number>();
  for (const section of sections) {
    const [, codes = ''] = section.split('\n');
    for (const code of codes.split(',')) statusOf.set(code.trim(), Number.parseInt(section, 10));
  }
  for (const [code, { exit }] of Object.entries(errorCodes)) assert.equal(statusOf.get(code), exit, code);
});

test("an error of the API ends with its code's status and keeps its words", async () => {
  for (const [code, { exit }] of Object.entries(errorCodes)) {
    const complaint = await complaintOf(new SealiftError(code as ErrorCode, 'no room on bravo')); // a key of the table
    assert.equal(complaint.exit, exit);
    assert.match(complaint.text, /no room on bravo/);
    assert.deepEqual(complaint.body, { error: { code, message: 'no room on bravo' } });
  }
});

test('an unreachable manager comes with what to try', async () => {
  const { text } = await complaintOf(new SealiftError('manager_unreachable', 'no answer from http://127.0.0.1:1: refused'));
  assert.match(text, /sealift manager/);
  assert.match(text, /SEALIFT_MANAGER/);
});

test('a wrong command line ends with 2, a bug with 1 and where it happened', async () => {
  assert.equal((await complaintOf(new UsageError('what?'))).exit, 2);
  const bug = await complaintOf(new TypeError('undefined is not a function'));
  assert.equal(bug.exit, 1);
  assert.match(bug.text, /exit-codes\.test\.ts/);
});
