/** `sealift task …` */
import type { Task, TaskState } from '@sealift/contract';
import { type Command, Option } from 'commander';
import { withManager } from '../context.ts';
import { describe } from '../manual/manual.ts';
import { atLeastOne } from '../options.ts';
import { type Io, printJson } from '../output/io.ts';
import { printFields, printList } from '../output/table.ts';
import { formatTime } from '../output/units.ts';
import { clearLines, logLine, progressOf, tookOf } from './render.ts';

const id = '0190d3a2-7c1e-7a90-8f10-0123456789ab';

interface ListOptions {
  readonly state?: TaskState;
  readonly parent?: string;
  readonly before?: string;
  readonly limit: number;
}

export function addTaskCommands(task: Command): void {
  describe(
    task
      .command('ls')
      .description('list tasks, newest first')
      .addOption(new Option('--state <state>', 'only tasks in this state').choices(['running', 'completed', 'failed', 'cancelled']))
      .option('--parent <task>', 'only the parts of this task: of a drain, its migrations')
      .option('--limit <n>', 'at most so many', atLeastOne, 50)
      .option('--before <task>', 'go on behind this task, which was the last of the page before')
      .action(({ state, parent, before, limit }: ListOptions, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const query = { limit, ...(state && { state }), ...(parent && { parent }), ...(before && { before }) };
          const tasks = await manager.listTasks({ query });
          await printList(io, tasks, {
            head: ['ID', 'STATE', 'DONE', 'STARTED', 'TOOK', 'TITLE'],
            row: (it) => [it.id, it.state, progressOf(it), formatTime(it.startedAt), tookOf(it), it.title],
            empty: 'There are no such tasks.',
          });
          const last = tasks.at(-1);
          if (!io.json && last && tasks.length === limit) io.note(`Older ones: add --before ${last.id}`);
        }),
      ),
    {
      about: [
        'Every order is a task, from its acceptance to its end: a migration, a drain, a balance, and every start, stop or change of a VM. ' +
          'The task of a migration has the same id as the migration.',
      ],
      changes: 'Nothing.',
      examples: [
        ['sealift task ls --state running', 'what goes on now'],
        [`sealift task ls --parent ${id}`, 'each migration of a drain'],
        ['sealift task ls --state failed --json', 'what failed, as an array of tasks'],
      ],
    },
  );

  describe(
    task
      .command('show')
      .argument('<task>', 'its id')
      .description('one task with its log')
      .action((task: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const it = await manager.getTask({ params: { task } });
          if (io.json) return printJson(io, it);
          printDetails(io, it);
          const { clearMigrationsOf } = await import('./watch.ts');
          for (const line of clearLines(await clearMigrationsOf(manager, it))) io.print(line);
        }),
      ),
    {
      about: ['Shows what was ordered, how far it is, why it failed where it did, and the last 1000 lines of its log.'],
      changes: 'Nothing.',
      examples: [[`sealift task show ${id}`, 'what a drain has done so far']],
      exits: [3],
    },
  );

  describe(
    task
      .command('watch')
      .argument('<task>', 'its id')
      .description('follow it to its end; Ctrl-C leaves it alone')
      .action((task: string, _options: unknown, command: Command) =>
        withManager(command, async (context) => {
          const { watchTask } = await import('./watch.ts');
          await watchTask(context, task);
        }),
      ),
    {
      about: [
        'Prints the log as it grows and how much is done, and ends when the task has ended, with a status that says how. ' +
          'A manager that is restarted meanwhile is waited for, for a minute. With --json each state of the task is a line.',
      ],
      changes: 'Nothing: Ctrl-C leaves the task as it is, and says how to watch it again and how to cancel it.',
      examples: [[`sealift task watch ${id}`, 'until it has ended']],
      exits: [3, 4, 6, 7, 130],
    },
  );

  describe(
    task
      .command('cancel')
      .argument('<task>', 'its id')
      .description('stop it; what is done stays done')
      .action((task: string, _options: unknown, command: Command) =>
        withManager(command, async ({ io, manager }) => {
          const it = await manager.cancelTask({ params: { task } });
          if (io.json) printJson(io, it);
          else io.print(`Asked to cancel: ${it.title}. See how it ends with: sealift task watch ${it.id}`);
        }),
      ),
    {
      about: [
        'Asks the manager to stop a migration, a drain or a balance. It returns at once, before the task has ended. ' +
          'A migration whose VM has been handed over cannot be stopped any more.',
      ],
      changes:
        'VMs that a drain or a balance has moved stay where they are; a host that was being drained stays in maintenance until host undrain.',
      examples: [[`sealift task cancel ${id}`, 'stop a drain']],
      exits: [3, 4],
    },
  );
}

function printDetails(io: Io, it: Task): void {
  const { vm, host, cluster, migration } = it.subject;
  printFields(io, {
    id: it.id,
    title: it.title,
    kind: it.kind,
    state: it.state,
    done: progressOf(it),
    vm,
    host,
    cluster,
    migration,
    'part of': it.parent,
    started: formatTime(it.startedAt),
    ended: it.endedAt === undefined ? undefined : formatTime(it.endedAt),
    failure: it.failure && `${it.failure.code}: ${it.failure.message}`,
    'what to do': it.failure?.advice,
    cancel: it.cancellable ? `sealift task cancel ${it.id}` : undefined,
  });
  if (it.log.length > 0) io.print('');
  for (const entry of it.log) io.print(logLine(entry));
}
