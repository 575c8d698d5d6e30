/** Is a database whole? Asked of a server that runs, or of disks that were left or copied in any moment. */
import { mkdtemp, rm, symlink, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../system/command.ts';
import { type LedgerRow, type LoadAccount, ledgerProblems } from './account.ts';
import type { Connection, Programs } from './programs.ts';

/** As the guest has them: tables, then the write-ahead log. */
export type DatabaseDisks = readonly [DiskFile, DiskFile];

export interface DiskFile {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

/** What belongs together in every transaction, each as a number that is 0. */
const together: Readonly<Record<string, string>> = {
  'rows of the ledger without their order': 'select count(*) from ledger left join orders on id = order_id where id is null',
  'orders that are in no ledger': 'select count(*) from orders left join ledger on id = order_id where order_id is null',
  'orders without a line': 'select count(*) from orders o where not exists (select from order_lines where order_id = o.id)',
  'pieces sold that no order has': 'select (select sum(sold) from stock) - (select coalesce(sum(quantity), 0) from order_lines)',
  'money spent that no order has': 'select (select sum(spent) from customers) - (select coalesce(sum(total), 0) from orders)',
};

/**
 * Every commit that clients were told of, what belongs together, and by amcheck every table and index.
 * @param accounts of all loads that it has had
 * @returns what is wrong, in words
 */
export const serverProblems = async (programs: Programs, connection: Connection, accounts: readonly LoadAccount[]): Promise<string[]> => {
  const problems: string[] = [];
  for (const account of accounts) {
    const sql = `select client, count(*), min(sequence), max(sequence) from ledger where load = ${account.load} group by client;`;
    problems.push(...ledgerProblems(account, rowsOf(await programs.query(sql, connection))));
  }
  for (const [what, sql] of Object.entries(together)) {
    const count = (await programs.query(`${sql};`, connection)).trim();
    if (count !== '0') problems.push(`${what}: ${count}`);
  }
  return [...problems, ...(await programs.amcheck(connection))];
};

const rowsOf = (text: string): LedgerRow[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [client = 0, rows = 0, least = 0, most = 0] = line.split('|').map(Number);
      return { client, rows, least, most };
    });

/**
 * The file systems, the checksums of all pages, and all of {@link serverProblems}. The disks are copied first and may be those of a VM that is paused or was
 * killed: then journals and the write-ahead log are applied to the copies, as the guest would.
 * @returns what is wrong, in words
 */
export const diskProblems = async (programs: Programs, disks: DatabaseDisks, accounts: readonly LoadAccount[]): Promise<string[]> => {
  const folder = await mkdtemp(join(tmpdir(), 'sealift-disks-'));
  try {
    const problems: string[] = [];
    const copies: string[] = [];
    for (const [index, disk] of disks.entries()) {
      const copy = join(folder, `disk${index}.raw`);
      copies.push(copy);
      // Not locked, for a VM may have them; whoever asks has seen to it that nobody writes to them.
      await run('qemu-img', ['convert', '-q', '-U', '-f', disk.format, '-O', 'raw', disk.path, copy]);
      problems.push(...(await fileSystemProblems(copy)).map((problem) => `${disk.path}: ${problem}`));
    }
    const [tables = '', log = ''] = copies;
    // What a file system without errors holds can be read.
    return problems.length > 0 ? problems : await dataProblems(programs, { tables, log, folder }, accounts);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** e2fsck(8): with its journal applied, there is nothing to mend. */
const fileSystemProblems = async (file: string): Promise<string[]> => {
  try {
    await run('e2fsck', ['-E', 'journal_only', '-y', file]);
    await run('e2fsck', ['-f', '-n', file]);
    return [];
  } catch (error) {
    return inWords(error);
  }
};

interface Copies {
  readonly tables: string;
  readonly log: string;
  readonly folder: string;
}

const dataProblems = async (programs: Programs, { tables, log, folder }: Copies, accounts: readonly LoadAccount[]): Promise<string[]> => {
  await run('debugfs', ['-R', `rdump /data ${folder}`, tables]);
  await run('debugfs', ['-R', `rdump /pg_wal ${folder}`, log]);
  const data = join(folder, 'data');
  await unlink(join(data, 'pg_wal'));
  await symlink(join(folder, 'pg_wal'), join(data, 'pg_wal'));
  await rm(join(data, 'postmaster.pid'), { force: true });
  if (process.getuid?.() === 0) await run('chown', ['-R', '-h', '0:0', data, join(folder, 'pg_wal')]);
  // A server that does not start, or refuses a query for a page that is wrong, has found something, too.
  const problems = await programs.whileServing(data, (connection) => serverProblems(programs, connection, accounts)).catch(inWords);
  return [...problems, ...(await programs.run('pg_checksums', ['--check', '-D', data]).then(() => [], inWords))];
};

const inWords = (error: unknown): string[] => [error instanceof Error ? error.message : String(error)];
