/** Lists that come a page at a time, whole: a page that is shorter than was asked for is the last. */

/** As many as the contract gives at once. */
const pageSize = 1000;

/**
 * @param ask for a page of at most `limit`, behind the thing `after`; from the beginning where there is none
 * @param enough ends it early, with the thing for which it holds left out
 */
export async function* allPages<T>(
  ask: (limit: number, after: T | undefined) => Promise<readonly T[]>,
  enough: (thing: T) => boolean = () => false,
): AsyncGenerator<T> {
  for (let after: T | undefined; ; ) {
    const page = await ask(pageSize, after);
    for (const thing of page) {
      if (enough(thing)) return;
      yield thing;
    }
    // Shorter is the last page; longer is a manager that knows no pages and has told all of it.
    if (page.length !== pageSize) return;
    after = page.at(-1);
  }
}

/** The names of the next page's beginning, for lists by name. */
export const behind = (last: { readonly name: string } | undefined): { after?: string } => (last ? { after: last.name } : {});
/** The same for lists that begin with the newest. */
export const before = <Id>(last: { readonly id: Id } | undefined): { before?: Id } => (last ? { before: last.id } : {});

/** All of it at once. */
export async function collected<T>(ask: (limit: number, after: T | undefined) => Promise<readonly T[]>): Promise<T[]> {
  const things: T[] = [];
  for await (const thing of allPages(ask)) things.push(thing);
  return things;
}
