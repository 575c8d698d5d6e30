/** What there is to say of a migration, in words. */
import type { Migration, Subject } from '@sealift/contract';
import type { News } from '../store/store.ts';

type Told = Omit<News, 'at'>;

const subjectOf = ({ id, vm, from, to, phase }: Migration): Subject => ({ vm, host: phase === 'completed' ? to : from, migration: id });

const dataOf = ({ from, to, phase, suite }: Migration) => ({ from, to, phase, suite });

export const ordered = (migration: Migration): Told => {
  const { vm, from, to, clearBecause } = migration;
  const clear = clearBecause === undefined ? '' : ` WITHOUT ENCRYPTION: ${clearBecause}`;
  return {
    type: 'migration.ordered',
    subject: subjectOf(migration),
    severity: clear === '' ? 'info' : 'warning',
    message: `VM ${vm} is to move from host ${from} to host ${to}${clear}`,
    data: dataOf(migration),
  };
};

export function reached(migration: Migration): Told {
  const { vm, from, to, phase, failure, clearBecause, endedAt } = migration;
  const known = { subject: subjectOf(migration), data: dataOf(migration) };
  if (endedAt === undefined) {
    const doubt = phase === 'in-doubt';
    const message = doubt ? `VM ${vm} is in doubt between host ${from} and host ${to}` : `VM ${vm} to host ${to}: ${phase}`;
    return { ...known, type: 'migration.phase', severity: doubt ? 'warning' : 'info', message };
  }
  const why = failure ? `: ${failure.message}` : '';
  if (phase === 'completed') {
    const clear = clearBecause === undefined ? '' : ` WITHOUT ENCRYPTION: ${clearBecause}`;
    const message = `VM ${vm} has moved from host ${from} to host ${to}${clear}`;
    return { ...known, type: 'migration.ended', severity: clear === '' ? 'info' : 'warning', message };
  }
  if (phase === 'lost') return { ...known, type: 'migration.ended', severity: 'error', message: `the memory of VM ${vm} is lost${why}` };
  const message = `VM ${vm} stays at host ${from}; its migration to host ${to} was ${phase === 'cancelled' ? 'cancelled' : 'a failure'}${why}`;
  return { ...known, type: 'migration.ended', severity: phase === 'cancelled' ? 'info' : 'warning', message };
}

export const resolvedBy = (migration: Migration, keep: string): Told => ({
  type: 'migration.resolved',
  subject: subjectOf(migration),
  severity: 'warning',
  message: `an administrator kept the ${keep}'s copy of VM ${migration.vm}`,
  data: { ...dataOf(migration), keep },
});
