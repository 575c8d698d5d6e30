/** What a refusal is held to in tests: its code and its words. */
import assert from 'node:assert/strict';
import { type ErrorCode, SealiftError } from '@sealift/contract';

/** For `assert.rejects` and `assert.throws`. */
export const refused = (code: ErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SealiftError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};
