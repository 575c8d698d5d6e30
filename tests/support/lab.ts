/** A lab of its own for an end-to-end test, used as a person would: by the sealift command. Needs root. */
import { deepStrictEqual as deepEqual } from 'node:assert';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type HostState, hostState } from '../../lab/src/lab/host-state.ts';
import { pathsOf } from '../../lab/src/lab/paths.ts';
import { planOf } from '../../lab/src/topology/plan.ts';

export const sealift = fileURLToPath(new URL('../../bin/sealift', import.meta.url));

export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const run = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Answer> =>
  new Promise((resolve) => {
    execFile(command, args, { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const status = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
      resolve({ status, stdout, stderr });
    });
  });

export class TestLab implements AsyncDisposable {
  readonly id = `t${randomBytes(3).toString('hex')}`;
  readonly paths = pathsOf(this.id);
  readonly plan = planOf(this.id);

  static async up(options: { memoryMiB?: number } = {}): Promise<TestLab> {
    const lab = new TestLab();
    const args = ['lab', 'up', '--id', lab.id, '--memory', String(options.memoryMiB ?? 256)];
    const { status, stdout, stderr } = await run(sealift, args);
    if (status !== 0) {
      await lab[Symbol.asyncDispose]();
      throw new Error(`lab up: exit status ${status}\n${stdout}${stderr}`);
    }
    return lab;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { status, stderr } = await run(sealift, ['lab', 'down', '--id', this.id]);
    if (status !== 0) throw new Error(`lab down: ${stderr}`);
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, SEALIFT_MANAGER: `unix:${this.paths.managerSocket}` };
  }

  sealift(...args: string[]): Promise<Answer> {
    return run(sealift, args, this.environment);
  }

  /** @throws Error where it does not end with exit status 0 */
  async json<T>(...args: string[]): Promise<T> {
    const { status, stdout, stderr } = await this.sealift('--json', ...args);
    if (status !== 0) throw new Error(`sealift ${args.join(' ')}: exit status ${status}: ${stderr}`);
    return JSON.parse(stdout);
  }

  hostState(host: 'alpha' | 'bravo'): HostState {
    return hostState(this, host);
  }

  /**
   * Resolves when a look finds what it is to find in the end: agents and the kernel still put away what the manager has heard the end of.
   * @throws AssertionError with the difference, where it has not come to that within half a minute
   */
  async comesTo<T>(expected: T, look: () => T): Promise<void> {
    for (const until = performance.now() + 30_000; performance.now() < until; await sleep(50)) {
      try {
        deepEqual(look(), expected);
        return;
      } catch {
        // Not yet; or something vanished under the look.
      }
    }
    deepEqual(look(), expected);
  }

  /**
   * Resolves when the agents at both hosts have put away what they had of a migration. For the manager one that was cancelled or has failed is
   * over when its source says so: the destination may still be ending its QEMU then.
   */
  async putAway(migration: string): Promise<void> {
    for (const host of ['alpha', 'bravo']) while (this.#isOpen(host, migration)) await sleep(20);
  }

  /** An agent records a migration before anything else, and logs its end after everything else. */
  #isOpen(host: string, migration: string): boolean {
    if (!readFileSync(join(this.paths.agentState(host), 'journal'), 'utf8').includes(migration)) return false;
    const log = readFileSync(this.paths.log(host), 'utf8').split('\n');
    return !log.some((line) => line.includes(migration) && line.includes('"migration ended"'));
  }
}
