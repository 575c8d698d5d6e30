/** A task in words. Pure. */
import type { Migration, Task, TaskLogEntry } from '@sealift/contract';
import { formatDuration, formatTime } from '../output/units.ts';

/** What is done of how much: of a migration hundredths of its copy, of a drain or balance VMs. */
export const progressOf = ({ kind, progress: { done, total } }: Task): string =>
  total === 0 ? '-' : kind === 'migrate' ? `${done} %` : `${done} of ${total}`;

export const tookOf = ({ startedAt, endedAt }: Task): string => (endedAt === undefined ? '-' : formatDuration(endedAt - startedAt));

export const logLine = ({ at, message }: TaskLogEntry): string => `${formatTime(at)}  ${message}`;

/**
 * What the log has beyond what was seen of it. A log keeps its last 1000 entries only, so a place in it is found by the entry that was
 * last seen, not by counting.
 */
export function newEntries(log: readonly TaskLogEntry[], seen: TaskLogEntry | undefined): readonly TaskLogEntry[] {
  if (!seen) return log;
  return log.slice(log.findLastIndex(({ at, message }) => at === seen.at && message === seen.message) + 1);
}

/** One line that stands for itself. */
export const progressLine = (task: Task): string => `${task.title}: ${task.state}, ${progressOf(task)}`;

const width = 24;

/** The line that is rewritten in place on a terminal, never longer than it is wide. */
export function liveLine(task: Task, columns: number): string {
  const { done, total } = task.progress;
  const full = total === 0 ? 0 : Math.floor((Math.min(done, total) / total) * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}  ${progressOf(task)}  ${task.title}`.slice(0, Math.max(0, columns - 1));
}

/** What came of it. */
export function endLines(task: Task): string[] {
  const { id, title, state, failure } = task;
  const amount = task.progress.total === 0 ? '' : ` (${progressOf(task)})`;
  switch (state) {
    case 'completed':
      return [`Done: ${title}${amount}, in ${tookOf(task)}`];
    case 'cancelled':
      return [`Cancelled: ${title}${amount}. What was done stays done.`];
    case 'failed':
      return [
        `FAILED: ${title}${amount}: ${failure ? `${failure.message} (${failure.code})` : 'no reason was given'}`,
        ...(failure?.advice === undefined ? [] : [failure.advice]),
        `What happened: sealift task show ${id}`,
      ];
    default:
      return [progressLine(task)];
  }
}

/** The loud words about VMs that a task moved without encryption. */
export function clearLines(clear: readonly Pick<Migration, 'vm' | 'from' | 'to' | 'clearBecause'>[]): string[] {
  if (clear.length === 0) return [];
  const which = clear.map(({ vm, from, to, clearBecause }) => `  ${vm}  ${from} → ${to}${clearBecause ? `: ${clearBecause}` : ''}`);
  return [`CLEAR ${clear.length === 1 ? 'One VM was' : `${clear.length} VMs were`} moved WITHOUT encryption:`, ...which];
}
