/** A task: one order of somebody's, from its acceptance to its end. What it does to a VM or host is in the event history as well. */
import { type Static, Type } from 'typebox';
import { MigrationFailure } from './migration.ts';
import { Name, Timestamp, Uuid } from './names.ts';

export const TaskKind = Type.Union([
  /** Its id is the migration's. */
  Type.Literal('migrate'),
  Type.Literal('drain'),
  Type.Literal('balance'),
  Type.Literal('create'),
  Type.Literal('change'),
  Type.Literal('start'),
  Type.Literal('stop'),
  Type.Literal('reset'),
  Type.Literal('suspend'),
  Type.Literal('resume'),
  Type.Literal('remove'),
]);
export type TaskKind = Static<typeof TaskKind>;

export const TaskState = Type.Union([
  Type.Literal('running'),
  Type.Literal('completed'),
  Type.Literal('failed'),
  Type.Literal('cancelled'),
]);
export type TaskState = Static<typeof TaskState>;

/** What an event or a task is about. */
export const Subject = Type.Object({
  vm: Type.Optional(Name),
  host: Type.Optional(Name),
  cluster: Type.Optional(Name),
  migration: Type.Optional(Uuid),
  task: Type.Optional(Uuid),
});
export type Subject = Static<typeof Subject>;

export const TaskLogEntry = Type.Object({ at: Timestamp, message: Type.String() });
export type TaskLogEntry = Static<typeof TaskLogEntry>;

export const Task = Type.Object(
  {
    id: Uuid,
    kind: TaskKind,
    /** In words: "drain host alpha". */
    title: Type.String(),
    subject: Subject,
    state: TaskState,
    /** Steps: of a migration, hundredths of its copy; of a drain or balance, VMs. */
    progress: Type.Object({ done: Type.Integer({ minimum: 0 }), total: Type.Integer({ minimum: 0 }) }),
    /** The task that it is part of. */
    parent: Type.Optional(Uuid),
    startedAt: Timestamp,
    endedAt: Type.Optional(Timestamp),
    failure: Type.Optional(MigrationFailure),
    /** What happened, oldest first; at most the last 1000. Left out of lists. */
    log: Type.Array(TaskLogEntry),
    /** May it still be cancelled? */
    cancellable: Type.Boolean(),
  },
  { $id: 'Task' },
);
export type Task = Static<typeof Task>;
