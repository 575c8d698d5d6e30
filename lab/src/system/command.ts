/** Running other programs to their end. */
import { execFile } from 'node:child_process';

/** A program that could not be run, or that ended with another status than 0. The message carries what it said. */
export class CommandError extends Error {
  readonly output: string;

  constructor(command: string, reason: string, output: string) {
    super(`${command}: ${reason}${output.trim() === '' ? '' : `: ${output.trim()}`}`);
    this.name = 'CommandError';
    this.output = output;
  }
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** What the program reads; without it, nothing. */
  readonly input?: string;
}

/**
 * @returns what the program wrote to its standard output
 * @throws CommandError when it is missing, is killed, or ends with another status than 0
 */
export const run = (program: string, args: readonly string[], options: RunOptions = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { maxBuffer: 64 * 1024 * 1024, ...(options.cwd !== undefined && { cwd: options.cwd }), ...(options.env && { env: options.env }) },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const command = [program, ...args].join(' ');
        if (error.code === 'ENOENT') return reject(new CommandError(command, `${program} is not installed; run npm run setup`, ''));
        reject(new CommandError(command, error.signal ? `killed by ${error.signal}` : `ended with status ${error.code}`, stderr));
      },
    );
    child.stdin?.on('error', () => {}); // a program that ends before it has read everything says why by its status
    child.stdin?.end(options.input ?? '');
  });
