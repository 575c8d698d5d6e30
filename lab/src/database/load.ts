/** Clients of the database, as many as one pgbench has, each buying again and again: see purchase.sql. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { accountOf, type Commit, type LoadAccount, parseLog } from './account.ts';
import { type Connection, databaseName, type Programs, superuser } from './programs.ts';

const purchase = fileURLToPath(new URL('purchase.sql', import.meta.url));
/** It goes on until it is stopped. */
const secondsAtMost = 7 * 24 * 3600;
const beginWithinMs = 60_000;
const endWithinMs = 60_000;

export interface LoadOptions {
  readonly programs: Programs;
  readonly connection: Connection;
  /** A number that no earlier load of this database had. */
  readonly load: number;
  readonly clients?: number;
  readonly thinkMs?: number;
}

export interface LoadResult {
  readonly account: LoadAccount;
  /** For accounts of a part of them, such as of what was told before a moment. */
  readonly commits: readonly Commit[];
  /** Where clients gave up, as when their connections broke: why, in pgbench's words. */
  readonly problem?: string;
}

export class DatabaseLoad implements AsyncDisposable {
  readonly #options: Required<Pick<LoadOptions, 'load' | 'clients'>>;
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #said = '';

  private constructor(options: Required<LoadOptions>, folder: string) {
    const { programs, connection, load, clients, thinkMs } = options;
    this.#options = { load, clients };
    this.#folder = folder;
    const variables = { load, think: thinkMs, sequence: 0 };
    const args = [
      ...[
        '-n',
        '-h',
        connection.host,
        '-U',
        superuser,
        '-M',
        'prepared',
        '-c',
        `${clients}`,
        '-j',
        '1',
        '-T',
        `${secondsAtMost}`,
        '-P',
        '1',
      ],
      ...['--log', `--log-prefix=${join(folder, 'commits')}`, '-f', purchase],
      ...Object.entries(variables).flatMap(([name, value]) => ['-D', `${name}=${value}`]),
      databaseName,
    ];
    const [first = '', ...rest] = [...(connection.through ?? []), ...programs.command('pgbench', args)];
    this.#child = spawn(first, rest, { stdio: ['ignore', 'ignore', 'pipe'], env: programs.environment });
    this.#child.stderr?.on('data', (bytes) => {
      this.#said = (this.#said + bytes).slice(-8000);
    });
    this.#ended = once(this.#child, 'close').catch((error: unknown) => {
      this.#said += String(error);
    });
  }

  /** Resolves when commits come. @throws Error with what pgbench said where none does */
  static async start({ clients = 5, thinkMs = 10, ...rest }: LoadOptions): Promise<DatabaseLoad> {
    const load = new DatabaseLoad({ ...rest, clients, thinkMs }, await mkdtemp(join(tmpdir(), 'sealift-load-')));
    try {
      await load.#untilCommits();
      return load;
    } catch (error) {
      await load[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** In this second or so, as pgbench tells it; undefined before its first. */
  get commitsPerSecond(): number | undefined {
    const last = [...this.#said.matchAll(/^progress: [\d.]+ s, ([\d.]+) tps/gm)].at(-1)?.[1];
    return last === undefined ? undefined : Number(last);
  }

  /** Lets every client finish its transaction. @throws Error where it does not come to an end: what it was told is lost then */
  async stop(): Promise<LoadResult> {
    try {
      if (this.#running) this.#child.kill('SIGALRM'); // what ends pgbench when its time is up
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), endWithinMs);
      await this.#ended.finally(() => clearTimeout(timer));
      const { exitCode, signalCode } = this.#child;
      if (exitCode === null) throw new Error(`pgbench was ended by ${signalCode}: ${this.#words}`);
      const commits = await this.#commits();
      const { load, clients } = this.#options;
      return {
        account: accountOf(load, clients, commits),
        commits,
        ...(exitCode !== 0 && { problem: `pgbench ended with ${exitCode}: ${this.#words}` }),
      };
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  /** Ends it as it is. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running) this.#child.kill('SIGKILL');
    await this.#ended;
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it said, its progress aside. */
  get #words(): string {
    return this.#said.replace(/^progress:.*\n/gm, '').trim();
  }

  async #commits(): Promise<Commit[]> {
    const names = (await readdir(this.#folder)).filter((name) => name.startsWith('commits'));
    const texts = await Promise.all(names.map((name) => readFile(join(this.#folder, name), 'utf8')));
    return texts.flatMap(parseLog);
  }

  async #untilCommits(): Promise<void> {
    const deadline = AbortSignal.timeout(beginWithinMs);
    while (!this.commitsPerSecond) {
      if (!this.#running || deadline.aborted) throw new Error(`no transaction is committed: ${this.#words || 'pgbench says nothing'}`);
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 100)), this.#ended]);
    }
  }
}
