/** Runs prober.c in a namespace: echo requests that are never sent again, so that their answers show when a guest was there to answer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../system/command.ts';

const source = fileURLToPath(new URL('prober.c', import.meta.url));

interface ProberOptions {
  readonly namespace: string;
  /** IPv4. */
  readonly address: string;
  readonly intervalMs: number;
}

export class Prober {
  readonly #child: ChildProcess;
  readonly #folder: string;
  /** Resolves when it does, by itself too. */
  readonly ended: Promise<void>;
  #said = '';

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    this.ended = new Promise((resolve) => {
      child.on('error', (error) => {
        this.#said += error.message;
      });
      child.on('close', () => resolve());
    });
    child.stderr?.on('data', (bytes) => {
      this.#said += bytes;
    });
  }

  /** @throws CommandError when tcc is missing */
  static async start({ namespace, address, intervalMs }: ProberOptions): Promise<Prober> {
    const folder = await mkdtemp(join(tmpdir(), 'prober-'));
    const program = join(folder, 'prober');
    try {
      await run('tcc', ['-nostdlib', '-static', '-o', program, source]);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
    const words = [String(Buffer.from(address.split('.').map(Number)).readUInt32BE()), String(Math.round(intervalMs * 1000))];
    const child = spawn('ip', ['netns', 'exec', namespace, program, ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
    return new Prober(child, folder);
  }

  /** @throws Error when it had ended before */
  async stop(): Promise<void> {
    const running = this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
    if (running) {
      this.#child.kill('SIGKILL');
      await this.ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
    if (!running) throw new Error(`the prober has ended by itself: ${this.#said.trim() || 'it said nothing'}`);
  }
}
