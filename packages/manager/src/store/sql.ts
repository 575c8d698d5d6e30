/** What the parts of the store share. */
import type { Transaction } from 'kysely';
import type { Tables } from './schema.ts';
import type { Writes } from './writes.ts';

/** Tells the database's refusal of a duplicate or a dangling reference from every other error. */
export class Refusals {
  readonly isConstraint: (error: unknown) => boolean;

  readonly #writes: Writes;

  constructor(isConstraint: (error: unknown) => boolean, writes: Writes) {
    this.isConstraint = isConstraint;
    this.#writes = writes;
  }

  /** @returns false where the database refused */
  async unlessRefused(write: (db: Transaction<Tables>) => Promise<unknown>): Promise<boolean> {
    try {
      await this.#writes.run(write);
      return true;
    } catch (error) {
      if (this.isConstraint(error)) return false;
      throw error;
    }
  }
}

export const deletedSome = (result: { readonly numDeletedRows: bigint } | undefined): boolean => (result?.numDeletedRows ?? 0n) > 0n;

/** At most so many rows of a list whose caller names no limit. */
export const pageSize = 1000;
