/** What Linux says of a process in /proc (proc(5)). */
import { readdir, readFile } from 'node:fs/promises';

/** A process beyond doubt: numbers are used again, but not with the same start. */
export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks from the host's boot to the process's start. */
  readonly startTicks: number;
}

export interface Stat extends ProcessId {
  readonly comm: string;
  /** One letter: R, S, D, Z… */
  readonly state: string;
  /** User and system time of this task; of a process, including threads that have ended. */
  readonly cpuTicks: number;
}

/** USER_HZ, which is 100 on every architecture that QEMU runs Linux guests on with sealift; see `getconf CLK_TCK`. */
const TICKS_PER_SECOND = 100;

/** @returns undefined where there is no such process */
export async function readStat(pid: number, tid?: number): Promise<Stat | undefined> {
  let text: string;
  try {
    text = await readFile(tid === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${tid}/stat`, 'utf8');
  } catch (error) {
    // ESRCH where it ended between open and read.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return undefined;
    throw error;
  }
  return parseStat(text);
}

/** The name stands in parentheses and may hold any character, parentheses and spaces too. */
export function parseStat(text: string): Stat {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const fields = text.slice(close + 2).split(' '); // from field 3 on
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid: Number(text.slice(0, open)),
    comm: text.slice(open + 1, close),
    state: fields[0] ?? '',
    cpuTicks: field(14) + field(15),
    startTicks: field(22),
  };
}

export const sameProcess = (a: ProcessId, b: ProcessId): boolean => a.pid === b.pid && a.startTicks === b.startTicks;

/** A zombie, or a process that the kernel is taking apart. */
export const hasEnded = (stat: Stat): boolean => stat.state === 'Z' || stat.state === 'X' || stat.state === 'x';

/** With `debug-threads=on`: `CPU 0/KVM`, `CPU 0/TCG`; `ALL CPUs/TCG` where TCG runs all vCPUs in one thread. */
const VCPU_THREAD = /^(CPU \d+|ALL CPUs)\/(KVM|TCG)$/;

export interface QemuCpuSeconds {
  readonly vcpu: number;
  /** Everything else: main loop, migration, multifd, I/O. Threads that have ended count here, vCPU threads never end before QEMU. */
  readonly other: number;
}

/**
 * CPU time that a QEMU has used since its start, in seconds, to a hundredth.
 * @returns undefined where there is no such process; a QEMU that has ended has taken its account with it
 */
export async function cpuSeconds(pid: number): Promise<QemuCpuSeconds | undefined> {
  // Threads first: time that passes in between is then other's rather than negative.
  const tids = await readdir(`/proc/${pid}/task`).catch(() => []);
  const threads = await Promise.all(tids.map((tid) => readStat(pid, Number(tid))));
  const vcpu = threads.reduce((sum, thread) => sum + (thread && VCPU_THREAD.test(thread.comm) ? thread.cpuTicks : 0), 0);
  const all = await readStat(pid);
  if (!all || hasEnded(all)) return undefined;
  return { vcpu: vcpu / TICKS_PER_SECOND, other: Math.max(0, all.cpuTicks - vcpu) / TICKS_PER_SECOND };
}

export interface ProcessUse {
  /** When it was read: milliseconds of `performance.now()`. */
  readonly at: number;
  /** User and system time of all its threads since its start, to a hundredth. */
  readonly cpuSeconds: number;
  /** Of the host's memory (VmRSS). */
  readonly residentBytes: number;
}

/** @returns undefined where that very process is gone */
export async function processUse(process: ProcessId): Promise<ProcessUse | undefined> {
  const status = await readFile(`/proc/${process.pid}/status`, 'utf8').catch(() => '');
  const stat = await readStat(process.pid);
  const at = performance.now();
  if (!stat || !sameProcess(stat, process) || hasEnded(stat)) return undefined;
  const residentBytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  return { at, cpuSeconds: stat.cpuTicks / TICKS_PER_SECOND, residentBytes };
}
