/** What a client of the database was told: each commit with its time, what that comes to, and whether the database still has it all. Pure. */

/** A commit that the client was told of. */
export interface Commit {
  readonly client: number;
  /** The how-manieth of that client, from 1. */
  readonly sequence: number;
  /** When it was told, ms since the epoch. */
  readonly atMs: number;
  /** How long the transaction took, with the time that the client thought before it. */
  readonly tookMs: number;
}

export interface LoadAccount {
  /** Which of the loads that this database has had. */
  readonly load: number;
  readonly clients: number;
  /** By client: so many commits was it told of, numbered from 1. */
  readonly told: readonly number[];
  readonly commits: number;
  /** Of each whole second between the first commit and the last; `at` is its beginning, ms since the epoch. */
  readonly seconds: readonly { readonly at: number; readonly commits: number }[];
  /** The longest time between two commits, whoever was told of them, and when that began, ms since the epoch. */
  readonly longestGapMs: number;
  readonly longestGapAt: number;
  readonly slowestMs: number;
}

/**
 * What pgbench writes with `--log`: client, transaction, µs that it took, script, end in seconds and µs since the epoch.
 * @throws Error naming a line that is none, as of a transaction that failed: clients number their commits by what they have tried
 */
export const parseLog = (text: string): Commit[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const match = /^(\d+) (\d+) (\d+) \d+ (\d+) (\d+)$/.exec(line);
      if (match === null) throw new Error(`no transaction that was committed: ${line}`);
      const [client = 0, sequence = 0, took = 0, seconds = 0, micros = 0] = match.slice(1).map(Number);
      return { client, sequence, atMs: seconds * 1000 + micros / 1000, tookMs: took / 1000 };
    });

export const accountOf = (load: number, clients: number, commits: readonly Commit[]): LoadAccount => {
  const told = Array.from({ length: clients }, () => 0);
  for (const { client, sequence } of commits) told[client] = Math.max(told[client] ?? 0, sequence);
  const times = commits.map(({ atMs }) => atMs).sort((a, b) => a - b);
  const gap = { ms: 0, at: times[0] ?? 0 };
  for (const [index, at] of times.entries()) {
    const before = times[index - 1] ?? at;
    if (at - before > gap.ms) Object.assign(gap, { ms: at - before, at: before });
  }
  return {
    load,
    clients,
    told,
    commits: commits.length,
    seconds: secondsOf(times),
    longestGapMs: gap.ms,
    longestGapAt: gap.at,
    slowestMs: commits.reduce((most, { tookMs }) => Math.max(most, tookMs), 0),
  };
};

const secondsOf = (times: readonly number[]): LoadAccount['seconds'] => {
  const [first, last] = [times[0], times.at(-1)];
  if (first === undefined || last === undefined) return [];
  const begin = Math.ceil(first / 1000);
  const counts = Array.from({ length: Math.max(0, Math.floor(last / 1000) - begin) }, () => 0);
  for (const at of times) {
    const index = Math.floor(at / 1000) - begin;
    if (index in counts) counts[index] = (counts[index] ?? 0) + 1;
  }
  return counts.map((commits, index) => ({ at: (begin + index) * 1000, commits }));
};

/** Of one client in the ledger. */
export interface LedgerRow {
  readonly client: number;
  readonly rows: number;
  readonly least: number;
  readonly most: number;
}

/**
 * Is every commit there that a client was told of? The one after those may be: it was committed, and the answer did not come.
 * @returns what is not as it must be, in words
 */
export const ledgerProblems = ({ load, told }: LoadAccount, rows: readonly LedgerRow[]): string[] =>
  told.flatMap((count, client) => {
    const row = rows.find((each) => each.client === client) ?? { rows: 0, least: 1, most: 0 };
    const who = `load ${load}, client ${client}`;
    if (row.most < count) return [`${who}: it was told of ${count} commits, and the ledger ends at ${row.most}`];
    if (row.least !== 1 || row.rows !== row.most)
      return [`${who}: the ledger has ${row.rows} rows from ${row.least} to ${row.most}: some are missing`];
    return row.most > count + 1 ? [`${who}: it was told of ${count} commits, and the ledger has ${row.most}`] : [];
  });
