/** `sealift tunnel` as processes of a test's: started, listened to, and gone when the test is. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TunnelReport } from '../../packages/transport/src/tunnel/report.ts';
import { run, sealift } from './lab.ts';

export class Started implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  stdout = '';
  stderr = '';
  #gone = false;
  #waiting: (() => void)[] = [];

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env, input?: Buffer) {
    this.child = spawn(command, args, { env, stdio: [input ? 'pipe' : 'ignore', 'pipe', 'pipe'] });
    this.child.stdin?.end(input);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#hear(() => (this.stdout += text)));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#hear(() => (this.stderr += text)));
    this.ended = once(this.child, 'close').then(([status, signal]) => {
      this.#hear(() => (this.#gone = true));
      return status ?? signal;
    });
  }

  /** @returns the first group, once standard error has it. @throws where the process ends without */
  async says(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.stderr);
      if (match) return match[1] ?? '';
      if (this.#gone) throw new Error(`it ended without ${pattern}: ${this.stderr}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** As {@link ended}. @throws where it has not ended after 100 s: the transport's limits are below 20 s */
  async ends(): Promise<number | NodeJS.Signals> {
    const hang = Promise.withResolvers<never>();
    const timer = setTimeout(() => hang.reject(new Error(`it hangs: ${this.stderr}`)), 100_000);
    try {
      return await Promise.race([this.ended, hang.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  get report(): TunnelReport {
    return JSON.parse(this.stdout.trim().split('\n').at(-1) ?? '');
  }

  #hear(change: () => void): void {
    change();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#gone) this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** A directory with a spec, and the tunnels that were started from it. */
export class TunnelBench implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'sealift-tunnel-'));
  readonly spec = join(this.directory, 'spec');
  readonly out = join(this.directory, 'out.sock');
  readonly in = join(this.directory, 'in.sock');
  readonly #stack = new AsyncDisposableStack();

  static async make(...options: string[]): Promise<TunnelBench> {
    const bench = new TunnelBench();
    const { status, stdout, stderr } = await run(sealift, ['tunnel', 'spec', ...options]);
    if (status !== 0) throw new Error(stderr);
    writeFileSync(bench.spec, stdout);
    chmodSync(bench.spec, 0o600);
    return bench;
  }

  /** Whatever else has to go before the directory does. */
  use<T extends AsyncDisposable>(resource: T): T {
    return this.#stack.use(resource);
  }

  start(...args: string[]): Started {
    return this.use(new Started(sealift, ['tunnel', ...args]));
  }

  receive(...options: string[]): Started {
    return this.start('receive', '--listen', '127.0.0.1:0', '--connect-unix', this.in, '--spec', this.spec, '--json', ...options);
  }

  /** Whatever runs with this directory in its command line. */
  get processes(): string[] {
    return readdirSync('/proc').flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${Number(pid)}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes(this.directory) ? [`${pid}: ${command}`] : [];
      } catch {
        return []; // no process, or one that has just ended
      }
    });
  }

  async send(receiver: Started, ...options: string[]): Promise<Started> {
    const to = await receiver.says(/listening on (\S+)/);
    return this.start('send', '--listen-unix', this.out, '--to', to, '--spec', this.spec, '--json', ...options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
