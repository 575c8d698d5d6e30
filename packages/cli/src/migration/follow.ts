/** The states of a migration to its end: the migration itself does not need the manager. */
import { finalPhases, type Migration } from '@sealift/contract';
import type { Manager } from '../manager/connect.ts';
import { type FollowOptions, followToEnd } from '../manager/follow.ts';

type Source = Pick<Manager, 'watchMigration'>;

const isFinal = ({ phase }: Migration): boolean => finalPhases.includes(phase);

/** @throws as {@link followToEnd} */
export const follow = (manager: Source, id: string, options: FollowOptions = {}): AsyncGenerator<Migration> =>
  followToEnd(
    { what: 'migration', open: (signal) => manager.watchMigration({ params: { migration: id } }, signal), ended: isFinal },
    options,
  );
