/** QEMU as a process of the host: it outlives the agent that started it, and is found again by what it was started with. */
import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HypervisorError } from './error.ts';
import { hasEnded, type ProcessId, readStat, sameProcess } from './proc.ts';
import { QmpClient, type QmpClientOptions } from './qmp/client.ts';
import { QmpError } from './qmp/error.ts';

/** How long QEMU may take from exec to its QMP greeting. Preallocating touches about 1 GiB a second, so give large VMs more. */
export const DEFAULT_START_DEADLINE_MS = 30_000;
const POLL_MS = 5;
const MAX_QUOTE = 2000;

export interface LaunchRequest extends QmpClientOptions {
  readonly binary: string;
  /** From {@link commandLine}. */
  readonly argv: readonly string[];
  /** Takes QEMU's standard output and error; appended to. */
  readonly logFile: string;
  /** One of the QMP sockets in `argv`. A file of that name is removed first, so make sure by {@link findQemu} that no QEMU uses it. */
  readonly qmpSocket: string;
}

export interface RunningQemu {
  readonly process: ProcessId;
  readonly monitor: QmpClient;
}

/**
 * Starts QEMU in a session of its own, so that signals to the caller's group or the caller's end do not reach it, and waits until it answers on QMP.
 * On failure QEMU is gone when this rejects.
 * @throws HypervisorError `missing`, `start`; QmpError `aborted`
 */
export async function launchQemu(request: LaunchRequest): Promise<RunningQemu> {
  const deadlineMs = request.deadlineMs ?? DEFAULT_START_DEADLINE_MS;
  const deadline = performance.now() + deadlineMs;
  // What answers there from now on is the QEMU that is started here.
  await rm(request.qmpSocket, { force: true });
  const log = openSync(request.logFile, 'a', 0o600);
  const logStart = fstatSync(log).size;
  let ended: string | undefined;
  let failure: Error | undefined;
  const child = spawn(request.binary, request.argv, { detached: true, stdio: ['ignore', log, log], cwd: '/' });
  closeSync(log);
  child.once('error', (error) => {
    failure = error;
  });
  child.once('exit', (code, signal) => {
    ended = signal === null ? `it exited with status ${code}` : `it was killed by ${signal}`;
  });
  child.unref();
  const qemu = child.pid === undefined ? undefined : await readStat(child.pid);

  try {
    for (;;) {
      if (failure) {
        const missing = 'code' in failure && failure.code === 'ENOENT';
        throw new HypervisorError(missing ? 'missing' : 'start', `QEMU could not be run as ${request.binary}: ${failure.message}`, {
          cause: failure,
        });
      }
      if (ended !== undefined || (child.pid !== undefined && !qemu)) {
        const said = await saidSince(request.logFile, logStart);
        throw new HypervisorError('start', `QEMU did not start: ${ended ?? 'it ended at once'}${said && `; it said: ${said}`}`);
      }
      try {
        const monitor = await QmpClient.connect(request.qmpSocket, { ...request, deadlineMs: Math.max(1, deadline - performance.now()) });
        if (!qemu) throw new HypervisorError('start', 'QEMU answers, but its process is not there');
        return { process: { pid: qemu.pid, startTicks: qemu.startTicks }, monitor };
      } catch (error) {
        // Until QEMU listens there is no socket, or one that a former QEMU left behind.
        if (!(error instanceof QmpError) || error.code === 'aborted') throw error;
        if (performance.now() > deadline) {
          throw new HypervisorError('start', `QEMU runs but did not answer on ${request.qmpSocket} within ${deadlineMs} ms`, {
            cause: error,
          });
        }
      }
      await sleep(POLL_MS);
    }
  } catch (error) {
    if (qemu) await killQemu(qemu);
    throw error;
  }
}

/**
 * The QEMU that a pidfile names, if it runs and was started with this QMP socket: a pidfile may be stale and its number another process's.
 * @returns undefined where there is none
 */
export async function findQemu(pidfile: string, qmpSocket: string): Promise<ProcessId | undefined> {
  const text = await readIfThere(pidfile);
  const pid = /^\d+\s*$/.test(text) ? Number(text) : 0;
  if (pid <= 1) return undefined;
  const before = await readStat(pid);
  if (!before || hasEnded(before)) return undefined;
  const argv = (await readIfThere(`/proc/${pid}/cmdline`)).split('\0');
  if (!argv.some((arg) => arg.startsWith('socket,') && arg.includes(`,path=${qmpSocket.replaceAll(',', ',,')},`))) return undefined;
  const found: ProcessId = { pid, startTicks: before.startTicks };
  return (await isAlive(found)) ? found : undefined;
}

export interface FoundQemu {
  readonly process: ProcessId;
  /** Its first QMP socket, as its command line names it. The file may be gone. */
  readonly qmpSocket: string;
}

/** Every QEMU of this PID namespace that {@link commandLine} started with its first QMP socket below `directory`. */
export async function findQemusBelow(directory: string): Promise<FoundQemu[]> {
  const found: FoundQemu[] = [];
  for (const name of await readdir('/proc')) {
    const pid = /^\d+$/.test(name) ? Number(name) : 0;
    if (pid <= 1 || (await qmpSocketOf(pid, directory)) === undefined) continue;
    // Again, between two looks at whose number it is: it may be another process's by now.
    const before = await readStat(pid);
    const qmpSocket = await qmpSocketOf(pid, directory);
    if (!before || hasEnded(before) || qmpSocket === undefined) continue;
    const qemu: ProcessId = { pid, startTicks: before.startTicks };
    if (await isAlive(qemu)) found.push({ process: qemu, qmpSocket });
  }
  return found;
}

/** The process whose command line names this socket, if there is exactly one: QMP itself does not tell who is speaking. */
export async function findQemuOfSocket(path: string): Promise<ProcessId | undefined> {
  const found: ProcessId[] = [];
  const escaped = path.replaceAll(',', ',,');
  const names = (arg: string): boolean => {
    const at = arg.indexOf(escaped);
    return at >= 0 && /^([=:,]|)$/.test(arg.charAt(at - 1)) && /^(,|)$/.test(arg.charAt(at + escaped.length));
  };
  for (const name of await readdir('/proc')) {
    const pid = /^\d+$/.test(name) ? Number(name) : 0;
    const [program = '', ...argv] = pid > 1 ? (await readIfThere(`/proc/${pid}/cmdline`)).split('\0') : [];
    if (!/qemu|kvm/.test(program) || !argv.some(names)) continue;
    const stat = await readStat(pid);
    if (stat && !hasEnded(stat)) found.push({ pid, startTicks: stat.startTicks });
  }
  return found.length === 1 ? found[0] : undefined;
}

/** From `-chardev socket,id=qmp,path=PATH,server=on,wait=off`, where commas of the path are doubled. */
async function qmpSocketOf(pid: number, directory: string): Promise<string | undefined> {
  const argv = (await readIfThere(`/proc/${pid}/cmdline`)).split('\0');
  for (const [i, arg] of argv.entries()) {
    const path = argv[i - 1] === '-chardev' ? /^socket,id=qmp,path=((?:[^,]|,,)*),/.exec(arg)?.[1]?.replaceAll(',,', ',') : undefined;
    if (path?.startsWith(`${directory}/`)) return path;
  }
  return undefined;
}

/** Whether that very process still runs. A zombie does not: its memory and its guest are gone. */
export async function isAlive(qemu: ProcessId): Promise<boolean> {
  const now = await readStat(qemu.pid);
  return now !== undefined && sameProcess(now, qemu) && !hasEnded(now);
}

/** Resolves when the process has ended, however it came to that. @throws QmpError `aborted`, HypervisorError `unkillable` at the deadline */
export async function untilGone(qemu: ProcessId, options: { deadlineMs: number; signal?: AbortSignal }): Promise<void> {
  const deadline = performance.now() + options.deadlineMs;
  while (await isAlive(qemu)) {
    if (options.signal?.aborted) throw new QmpError('aborted', 'waiting for QEMU to end was given up', { cause: options.signal.reason });
    if (performance.now() > deadline) {
      throw new HypervisorError('unkillable', `QEMU (process ${qemu.pid}) has not ended within ${options.deadlineMs} ms`);
    }
    await sleep(POLL_MS);
  }
}

/** SIGKILL, then waits until the process is gone: only then can its guest no longer run. Nothing happens where it is gone already. */
export async function killQemu(qemu: ProcessId, deadlineMs = 10_000): Promise<void> {
  if (!(await isAlive(qemu))) return;
  try {
    process.kill(qemu.pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
  await untilGone(qemu, { deadlineMs });
}

/** What QEMU has said since it was started; it may well be the whole reason why it did not. */
async function saidSince(file: string, offset: number): Promise<string> {
  const text = (await readFile(file)).subarray(offset).toString('utf8').trim();
  return text.length > MAX_QUOTE ? `…${text.slice(-MAX_QUOTE)}` : text;
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return '';
    throw error;
  }
}
