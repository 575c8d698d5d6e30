/** Runs a load process in a namespace and gives it its orders. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CheckerResult } from '../guest/checker.ts';
import { type ProcessId, processId } from '../system/process.ts';
import type { Answer, Command, LoadReport } from './protocol.ts';

const program = fileURLToPath(new URL('main.ts', import.meta.url));

export interface WorkloadOptions {
  /** The network namespace that it runs in; without one, the caller's own. */
  readonly namespace?: string;
  readonly host: string;
  readonly port?: number;
  readonly connections?: number;
  readonly writesPerSecond?: number;
  /** Connects again where no answer comes for so long; otherwise an interruption lasts as long for it as for TCP. */
  readonly silenceMs?: number;
}

/** Each method throws what the load process says went wrong, and also when the process has ended. */
export class Workload {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #lines: Interface;
  #said = '';
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: WorkloadOptions) {
    const command = [process.execPath, program, '--host', options.host];
    for (const [name, value] of [
      ['--port', options.port],
      ['--connections', options.connections],
      ['--rate', options.writesPerSecond],
      ['--silence', options.silenceMs],
    ] as const) {
      if (value !== undefined) command.push(name, String(value));
    }
    const [first = '', ...rest] = options.namespace === undefined ? command : ['ip', 'netns', 'exec', options.namespace, ...command];
    this.#child = spawn(first, rest, { stdio: 'pipe' });
    this.#child.on('error', (error) => {
      this.#said += error.message;
    });
    this.#child.stdin.on('error', () => {}); // the answer that does not come says more
    this.#child.stderr.on('data', (bytes) => {
      this.#said = (this.#said + bytes).slice(-4000);
    });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** For the record of what must be ended. */
  get processId(): ProcessId | undefined {
    return this.#child.pid === undefined ? undefined : processId(this.#child.pid);
  }

  async plant(texts: readonly string[]): Promise<void> {
    await this.#order({ do: 'plant', texts });
  }

  async start(): Promise<void> {
    await this.#order({ do: 'start' });
  }

  async reset(): Promise<void> {
    await this.#order({ do: 'reset' });
  }

  async report(): Promise<LoadReport> {
    return (await this.#order({ do: 'report' })) as LoadReport; // both ends are of one version
  }

  async checker(): Promise<CheckerResult | undefined> {
    return (await this.#order({ do: 'checker' })) as CheckerResult | undefined; // as above
  }

  async finish(): Promise<LoadReport> {
    return (await this.#order({ do: 'finish' })) as LoadReport; // as above
  }

  async stop(): Promise<void> {
    this.#child.stdin.end();
    this.#lines.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }

  /** One order at a time: answers come in the order of the questions. */
  #order(command: Command): Promise<unknown> {
    const answered = this.#last.then(async () => {
      this.#child.stdin.write(`${JSON.stringify(command)}\n`);
      const line = await this.#answers.next();
      if (line.done) throw new Error(`the load process has ended: ${this.#said.trim() || 'it said nothing'}`);
      const answer: Answer = JSON.parse(line.value);
      if (!answer.ok) throw new Error(`load: ${answer.problem}`);
      return answer.result;
    });
    this.#last = answered.catch(() => {});
    return answered;
  }
}
