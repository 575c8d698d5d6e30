/**
 * Processes that outlive the program that started them, and that must be ended later without ever hitting a stranger: a
 * process id is used again after a process has gone, so each is remembered together with its start time.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessId {
  readonly pid: number;
  /** Clock ticks between the machine's start and the process's: field 22 of proc_pid_stat(5). */
  readonly startTime: string;
}

/** @returns undefined when there is no such process, or when it is only waiting to be reaped */
export const processId = (pid: number): ProcessId | undefined => {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name, field 2, is in parentheses and may hold anything, so fields are counted from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = fields[19];
  return fields[0] === 'Z' || startTime === undefined ? undefined : { pid, startTime };
};

export const isAlive = (id: ProcessId): boolean => processId(id.pid)?.startTime === id.startTime;

/** The program and arguments of a process, or undefined when it is gone. */
export const commandOf = (pid: number): readonly string[] | undefined => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return undefined;
  }
};

/**
 * Starts a program of its own session, so that neither its starter's end nor a key press at its terminal reaches it.
 * @param log the file that gets what it says, appended to
 */
export const startDetached = async (program: string, args: readonly string[], log: string, env: NodeJS.ProcessEnv = process.env) => {
  const output = openSync(log, 'a', 0o600);
  try {
    const child = spawn(program, args, { detached: true, stdio: ['ignore', output, output], env });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const id = child.pid === undefined ? undefined : processId(child.pid);
    if (id === undefined) throw new Error(`${program} ended at once; see ${log}`);
    return id;
  } finally {
    closeSync(output);
  }
};

const signal = (id: ProcessId, name: NodeJS.Signals): void => {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, name);
  } catch (error) {
    // It ended between the look and the signal.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // process.kill throws system errors only
  }
};

/**
 * Asks processes to end, then makes those end that have not within `graceMs`.
 * @throws when one is still there 10 seconds after it was killed
 */
export const endProcesses = async (ids: readonly ProcessId[], graceMs = 5000): Promise<void> => {
  for (const id of ids) signal(id, 'SIGTERM');
  if (await allGone(ids, graceMs)) return;
  for (const id of ids) signal(id, 'SIGKILL');
  if (await allGone(ids, 10_000)) return;
  throw new Error(`still running after SIGKILL: ${ids.filter(isAlive).map((id) => id.pid)}`);
};

const allGone = async (ids: readonly ProcessId[], withinMs: number): Promise<boolean> => {
  const end = performance.now() + withinMs;
  while (ids.some(isAlive)) {
    if (performance.now() > end) return false;
    await sleep(20);
  }
  return true;
};
