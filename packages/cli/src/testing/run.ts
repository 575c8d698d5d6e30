/** Runs bin/sealift as people do. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sealiftProgram = join(import.meta.dirname, '../../../../bin/sealift');

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves once this has been said, on whichever output. Rejects where the program ends without. */
  said(words: string): Promise<void>;
}

export interface StartOptions {
  /** Written to standard input, which is then closed; `open` leaves it open. Default: `open`. */
  readonly input?: string;
  /** Another program, which finds the sealift command in $SEALIFT. */
  readonly program?: string;
}

export function start(manager: string, args: readonly string[], { input = 'open', program = sealiftProgram }: StartOptions = {}): Running {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(program, args, {
    env: { ...env, SEALIFT_MANAGER: manager, SEALIFT: sealiftProgram },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const ended = new Promise<Ended>((resolve) => child.once('close', (status) => resolve({ status, stdout, stderr })));
  const waiting = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    for (const look of waiting) look();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    for (const look of waiting) look();
  });
  child.stdin.on('error', () => {}); // a program that has ended reads no more
  if (input !== 'open') child.stdin.end(input);
  return {
    child,
    ended,
    said: (words) =>
      new Promise<void>((resolve, reject) => {
        const look = (): void => {
          if (!stdout.includes(words) && !stderr.includes(words)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
        void ended.then(() => reject(new Error(`it ended without saying "${words}":\n${stdout}${stderr}`)));
      }),
  };
}

export const sealift = (manager: string, ...args: string[]): Promise<Ended> => start(manager, args, { input: '' }).ended;

/** Each of them, one after the other, in one process. */
export async function sealiftAll(manager: string, ...lines: readonly (readonly string[])[]): Promise<Ended[]> {
  const program = join(import.meta.dirname, '../../../../tools/node');
  const { status, stdout, stderr } = await start(manager, [fileURLToPath(import.meta.resolve('./many.ts'))], {
    program,
    input: JSON.stringify(lines),
  }).ended;
  if (status !== 0) throw new Error(`testing/many.ts ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}
