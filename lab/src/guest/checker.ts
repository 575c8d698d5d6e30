/** The program that checks a guest's memory from inside: checker.c says how. */
import { fileURLToPath } from 'node:url';
import { run } from '../system/command.ts';

export const checkerSource = fileURLToPath(new URL('checker.c', import.meta.url));

/** What the checker has counted since the guest started. */
export interface CheckerResult {
  /** Walks over all its pages. */
  readonly passes: number;
  /** Pages found other than they must be, in all passes. */
  readonly errors: number;
  /** Of 4 KiB. */
  readonly pages: number;
}

/** Under this key the checker's latest result is in the guest's Redis: a hash of the fields of {@link CheckerResult}. */
export const checkerKey = 'sealift:checker';

/**
 * Compiles the checker.
 * @throws CommandError when tcc is missing
 */
export const compileChecker = async (output: string): Promise<void> => {
  await run('tcc', ['-nostdlib', '-static', '-o', output, checkerSource]);
};
