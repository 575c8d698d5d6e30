/** The history: what happened to VMs, hosts and migrations, numbered in order, kept as long as the policy says. */
import { type Static, Type } from 'typebox';
import { Timestamp } from './names.ts';
import { Subject } from './task.ts';

export const EventType = Type.Union([
  Type.Literal('vm.created'),
  Type.Literal('vm.changed'),
  Type.Literal('vm.removed'),
  Type.Literal('vm.state'),
  Type.Literal('host.added'),
  Type.Literal('host.removed'),
  Type.Literal('host.connected'),
  Type.Literal('host.unreachable'),
  Type.Literal('host.maintenance'),
  Type.Literal('migration.ordered'),
  Type.Literal('migration.phase'),
  Type.Literal('migration.ended'),
  Type.Literal('migration.resolved'),
  Type.Literal('task.started'),
  Type.Literal('task.progress'),
  Type.Literal('task.ended'),
  Type.Literal('cluster.changed'),
  Type.Literal('rule.changed'),
]);
export type EventType = Static<typeof EventType>;

export const Event = Type.Object(
  {
    /** Ascending, never reused; the `id` of the stream, for `Last-Event-ID`. */
    id: Type.Integer({ minimum: 1 }),
    at: Timestamp,
    type: EventType,
    subject: Subject,
    severity: Type.Union([Type.Literal('info'), Type.Literal('warning'), Type.Literal('error')]),
    /** In words. */
    message: Type.String(),
    /** The thing as it is after the event, where that is short: a phase, a state, a suite. */
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { $id: 'Event' },
);
export type Event = Static<typeof Event>;
