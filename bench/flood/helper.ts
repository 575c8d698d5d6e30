/** A process of the benchmark's own that does one thing and says how that went. Ended by its parent, whatever happens. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** On one clock for all processes of a machine. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export class Helper implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly #heard: object[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  /** @param file beside this one */
  constructor(file: string, ...args: (string | number)[]) {
    this.#child = fork(fileURLToPath(new URL(file, import.meta.url)), args.map(String));
    this.#child.on('message', (message: object) => {
      this.#heard.push(message);
      this.#wake();
    });
    this.#gone = once(this.#child, 'exit').finally(() => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** @returns the first message with that field, once it is there. @throws where the process ends without */
  async says<T extends object>(field: keyof T & string): Promise<T> {
    for (;;) {
      const found = this.#heard.find((message) => field in message);
      if (found) return found as T; // who asks knows what the file sends
      if (this.#ended) throw new Error(`${this.#child.spawnargs.slice(1).join(' ')} ended without a word of "${field}"`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  go(): void {
    this.#child.send('go');
  }

  /** So far, to the hundredth of a second that the kernel tells. */
  get cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
    // The name in brackets may hold anything; user and system time are the 12th and 13th fields behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.#child.kill('SIGKILL');
    await this.#gone;
  }
}

/** In a helper: resolves when the parent says so. */
export async function told(): Promise<void> {
  await once(process, 'message');
}

/** In a helper: resolves when it has left this process. */
export const tell = (message: object): Promise<void> =>
  new Promise((resolve, reject) => {
    process.send?.(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });
