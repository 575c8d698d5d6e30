/** What comes after an order that the manager carries out as a task. */
import type { Task } from '@sealift/contract';
import type { Context } from '../context.ts';
import { printJson } from '../output/io.ts';
import { watchTask } from './watch.ts';

/** @throws as {@link watchTask} where it is followed */
export async function followOrder(context: Context, task: Task, detach: boolean): Promise<void> {
  const { io } = context;
  if (!detach) return watchTask(context, task.id);
  if (io.json) return printJson(io, task, 'line');
  io.print(`Ordered: ${task.title}`);
  io.print(`Watch it with: sealift task watch ${task.id}`);
  io.print(`Cancel it with: sealift task cancel ${task.id}`);
}
