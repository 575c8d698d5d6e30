/** PostgreSQL's programs, run on this machine from the image's own folder: nothing of PostgreSQL need be installed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../system/command.ts';
import { type hostPrograms, programFolder } from './recipe.ts';

type Program = (typeof hostPrograms)[number];

/** Where a server answers. */
export interface Connection {
  /** An address, or the folder of its unix socket. */
  readonly host: string;
  /** Runs what connects, such as in a network namespace; by default, nothing is put before. */
  readonly through?: readonly string[];
}

export const databaseName = 'shop';
export const superuser = 'postgres';

const toServer = ({ host }: Connection): string[] => ['-h', host, '-U', superuser, '-d', databaseName];

export class Programs {
  readonly #folder: string;

  /** @param folder with the programs, their libraries but the C library's, and what they share, each where Debian has it */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** PostgreSQL does not run as root. As another user root may not reach the files; so in a user namespace, where its id is another and its rights its own. */
  command(program: Program, args: readonly string[]): readonly [string, ...string[]] {
    const path = join(this.#folder, programFolder, program);
    if (process.getuid?.() !== 0) return [path, ...args];
    return ['unshare', '--user', '--map-user=65534', '--map-group=65534', '--', path, ...args];
  }

  get environment(): NodeJS.ProcessEnv {
    const libraries = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'].map((each) => join(this.#folder, each)).join(':');
    return { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'GMT', LD_LIBRARY_PATH: libraries };
  }

  /** @throws CommandError with what it said where its status is not 0 */
  run(
    program: Program,
    args: readonly string[],
    options: { readonly input?: string; readonly through?: readonly string[] } = {},
  ): Promise<string> {
    const { through = [], ...rest } = options;
    const [first = '', ...others] = [...through, ...this.command(program, args)];
    return run(first, others, { env: this.environment, ...rest });
  }

  /** What a query answers: rows of columns, `|` in between. @throws CommandError where it is refused */
  query(sql: string, connection: Connection): Promise<string> {
    const args = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', ...toServer(connection), '-f', '-'];
    return this.run('psql', args, { input: sql, ...(connection.through && { through: connection.through }) });
  }

  /** Of all tables and indexes that a server has. @returns what is wrong with them, a line each */
  async amcheck(connection: Connection): Promise<string[]> {
    const args = ['--heapallindexed', ...toServer(connection)];
    try {
      await this.run('pg_amcheck', args, { ...(connection.through && { through: connection.through }) });
      return [];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  }

  /** Runs a server of a data folder, which answers nobody else, while `work` goes on; it recovers first where it had not ended in order, and ends so. */
  async whileServing<T>(data: string, work: (connection: Connection) => Promise<T>): Promise<T> {
    const host = await mkdtemp(join(tmpdir(), 'sealift-pg-')); // paths of sockets are short
    const control = (...args: string[]) => this.run('pg_ctl', ['-D', data, '-s', '-w', '-t', '120', ...args]);
    try {
      const options = `-c listen_addresses= -c unix_socket_directories=${host}`;
      await control('-l', join(host, 'log'), '-o', options, 'start');
      try {
        return await work({ host });
      } finally {
        await control('-m', 'fast', 'stop');
      }
    } finally {
      await rm(host, { recursive: true, force: true });
    }
  }
}
