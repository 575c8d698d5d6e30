/** Brings a migration to a stage and keeps it there until it is let go. */
import { type Migration, type MigrationOrder, SealiftError } from '@sealift/contract';
import { guestName } from '../lab/vm.ts';
import type { Stage } from './cells.ts';
import type { Ground } from './ground.ts';
import { stepsOf } from './journals.ts';
import type { Heal } from './line.ts';
import type { Hosts } from './strike.ts';
import { until } from './until.ts';

export interface Held {
  readonly migration: string;
  /** Whether the migration came to the stage; where it ended before, it did not. */
  readonly reached: boolean;
  readonly letGo: () => Promise<void>;
}

const reachWithinMs = 60_000;
/** Copying takes some seconds at this rate. */
const copySlowly = 20_000_000;

/** Where the agents hold it themselves: whose, and the name of their breakpoint. */
const held: Partial<Record<Stage, readonly ['source' | 'destination', string]>> = {
  preparing: ['destination', 'preparing'],
  paused: ['source', 'paused'],
  'grant sent': ['source', 'paused'],
  'grant received': ['destination', 'grant-received'],
  loaded: ['destination', 'loaded'],
  recorded: ['destination', 'recorded'],
  running: ['destination', 'running'],
  releasing: ['source', 'releasing'],
};

/** Orders the migration. @throws Error where it cannot be ordered */
export const reach = async (ground: Ground, stage: Stage, { source, destination }: Hosts): Promise<Held> => {
  const heals: Heal[] = [];
  const letGo = async (): Promise<void> => {
    await ground.letGo();
    for (const heal of heals.splice(0)) await heal();
  };
  const [side, breakpoint] = held[stage] ?? [];
  const holder = side === 'source' ? source : destination;
  if (breakpoint !== undefined) await ground.hold(holder, breakpoint);
  // What the destination answers gets lost, so the channels cannot be opened.
  if (stage === 'hello') heals.push(await ground.line.worsen('mig', source, 'deaf'));

  const limits = stage === 'pre-copy' ? { bandwidthBytesPerSecond: copySlowly } : {};
  const order: MigrationOrder = { to: destination, limits };
  const { id } = await ground.manager.migrateVm({ params: { vm: guestName }, body: order }, ground.signal);
  const there = async (): Promise<boolean> => {
    if (breakpoint !== undefined) return (await ground.reached(holder, breakpoint)) === id;
    return (await shown(ground, id))?.phase === (stage === 'hello' ? 'connecting' : 'copying');
  };
  const reached = await arrives(ground, id, there);
  if (!reached || stage !== 'grant sent') return { migration: id, reached, letGo };

  // Let go on a line that is narrow enough for the grant to be on its way for a while.
  heals.push(await ground.line.worsen('mig', destination, 'narrow'));
  await ground.letGo();
  const granted = await arrives(ground, id, async () => (await stepsOf(ground.lab.paths, source, id)).includes('granted'));
  return { migration: id, reached: granted, letGo };
};

/** Undefined where the manager does not answer. */
export const shown = async (ground: Ground, id: string): Promise<Migration | undefined> => {
  try {
    return await ground.manager.getMigration({ params: { migration: id } }, AbortSignal.any([ground.signal, AbortSignal.timeout(5_000)]));
  } catch (error) {
    if (ground.signal.aborted || !(error instanceof SealiftError || (error instanceof Error && error.name === 'TimeoutError'))) throw error;
    return undefined;
  }
};

/** @returns whether it has arrived; it has not where the migration ended, or time did */
const arrives = async (ground: Ground, id: string, there: () => Promise<boolean>): Promise<boolean> => {
  const found = await until(
    async () => {
      if (await there()) return 'there';
      return (await shown(ground, id))?.endedAt !== undefined && 'ended';
    },
    { withinMs: reachWithinMs, everyMs: 5, signal: ground.signal },
  );
  return found === 'there';
};
