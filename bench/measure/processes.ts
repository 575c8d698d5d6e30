/** Processes that a benchmark starts, what CPU time they take with all that they start in turn, and their end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

interface Stat {
  readonly parent: number;
  /** Of itself and of its children that have ended and were waited for. */
  readonly cpuSeconds: number;
}

/** proc(5): the name in brackets may hold anything; behind it come state, parent, and as 12th to 15th the times, in hundredths of a second. */
function statOf(pid: number): Stat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const times = fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0);
    return { parent: fields[1] ?? 0, cpuSeconds: times / 100 };
  } catch {
    // It has ended between being listed and being read.
    return undefined;
  }
}

/** The process and all that descend from it. */
function family(root: number): Map<number, Stat> {
  const all = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
    if (stat) all.set(Number(name), stat);
  }
  const found = new Map<number, Stat>();
  const add = (pid: number): void => {
    const stat = all.get(pid);
    if (!stat || found.has(pid)) return;
    found.set(pid, stat);
    for (const [each, { parent }] of all) if (parent === pid) add(each);
  };
  add(root);
  return found;
}

const running = new Set<Started>();
const directories = new Set<string>();

/** A program that was started; disposing ends it, with what it started, by their ids. */
export class Started implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  #heard = '';
  #ended = false;
  #wake: () => void = () => undefined;

  /** @param name for people, and for what it costs */
  constructor(name: string, program: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.name = name;
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
    running.add(this);
    const hear = (text: Buffer) => {
      this.#heard = (this.#heard + text.toString()).slice(-65_536);
      this.#wake();
    };
    this.#child.stdout?.on('data', hear);
    this.#child.stderr?.on('data', hear);
    this.#gone = once(this.#child, 'exit')
      .catch((error: unknown) => hear(Buffer.from(String(error))))
      .finally(() => {
        this.#ended = true;
        running.delete(this);
        this.#wake();
      });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} could not be started`);
    return this.#child.pid;
  }

  /** So far, with all that it started. */
  get cpuSeconds(): number {
    return [...family(this.pid).values()].reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  }

  /** @returns what it said that matches. @throws Error with all that it said, where it ends or 30 s pass without */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(30_000);
    for (;;) {
      const match = pattern.exec(this.#heard);
      if (match) return match;
      this.#assertRunning(deadline, String(pattern));
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        delay(200),
      ]);
    }
  }

  /** Waits until it has made that file. @throws Error as {@link says} */
  async makes(file: string): Promise<void> {
    const deadline = AbortSignal.timeout(30_000);
    while (!existsSync(file)) {
      this.#assertRunning(deadline, file);
      await delay(20);
    }
  }

  end(): void {
    if (this.#ended || this.#child.pid === undefined) return;
    for (const pid of family(this.#child.pid).keys()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended meanwhile, perhaps because its parent did.
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    await this.#gone;
  }

  #assertRunning(deadline: AbortSignal, awaited: string): void {
    if (!this.#ended && !deadline.aborted) return;
    throw new Error(`${this.name} ${this.#ended ? 'ended' : 'took 30 s'} without ${awaited}; it said: ${this.#heard.trim() || 'nothing'}`);
  }
}

/** A directory that is gone when it is disposed of. */
export function temporaryDirectory(): { readonly path: string } & Disposable {
  const made = mkdtempSync(path.join(os.tmpdir(), 'sealift-bench-'));
  directories.add(made);
  return {
    path: made,
    [Symbol.dispose]() {
      rmSync(made, { recursive: true, force: true });
      directories.delete(made);
    },
  };
}

/** From now on, Ctrl-C and SIGTERM leave nothing behind. */
export function endAllOnSignals(): void {
  const end = (status: number) => () => {
    for (const each of running) each.end();
    for (const each of directories) rmSync(each, { recursive: true, force: true });
    process.exit(status);
  };
  process.once('SIGINT', end(130)).once('SIGTERM', end(143));
}
