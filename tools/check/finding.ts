/** What every check gives back, and how a program's output becomes it. */
import { spawn } from 'node:child_process';

export interface Finding {
  /** Relative to the root that was checked. */
  readonly path: string;
  readonly line?: number;
  readonly rule: string;
  readonly message: string;
}

export interface Check {
  readonly name: string;
  /** Findings in the tree at `root`; none is a pass. Rejects where the check itself could not be made. */
  run(root: string): Promise<Finding[]>;
}

export interface Output {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Far more than any tool needs, also on a machine that is busy elsewhere: a tool that hangs is a failure, not a wait. */
const timeLimitMs = 300_000;

/** Runs a program to its end. Rejects where it could not be started, or was killed by a signal or by the time limit. */
export const run = (file: string, args: readonly string[], cwd: string): Promise<Output> =>
  new Promise((resolve, reject) => {
    const env = { ...process.env, NO_COLOR: '1' };
    const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeLimitMs });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (status, signal) => {
      if (status === null) reject(new Error(`${file} was ended by ${signal}`));
      else resolve({ status, stdout, stderr });
    });
  });

/** A tool that failed without naming a place is broken or misconfigured: that must never read as a pass. */
export const brokenTool = (tool: string, output: Output): Error =>
  new Error(`${tool} ended with status ${output.status} and no finding:\n${output.stdout}${output.stderr}`.trimEnd());
