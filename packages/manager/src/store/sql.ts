/** What the parts of the store share. */

/** Tells the database's refusal of a duplicate or a dangling reference from every other error. */
export class Refusals {
  readonly isConstraint: (error: unknown) => boolean;

  constructor(isConstraint: (error: unknown) => boolean) {
    this.isConstraint = isConstraint;
  }

  /** @returns false where the database refused */
  async unlessRefused(query: { execute(): Promise<unknown> }): Promise<boolean> {
    try {
      await query.execute();
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
