/**
 * SEALIFT_BREAKPOINTS: holds a migration where a test wants to strike. Off, and hard to turn on.
 *
 * The variable names a directory. Where an attempt comes to a stage and the directory holds a file of the stage's name, the agent writes the
 * migration's id to STAGE.reached beside it, and goes on with that step once STAGE is gone. Everything else of the agent runs on meanwhile.
 */
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { CannotStart } from '../cannot-start.ts';

export const breakpointsVariable = 'SEALIFT_BREAKPOINTS';

const lookAgainMs = 10;

/**
 * `preparing` (destination) QEMU is there, and nothing listens yet; `paused` (source) the VM stands still, and the last of it has not been sent;
 * `grant-received` (destination) before it is acted on; `loaded` (destination) QEMU has everything, and RUN is not in the journal;
 * `recorded` (destination) RUN is in the journal, and the VM does not run; `running` (destination) the VM runs, and nobody has been told; `releasing` (source) RUNNING is in the journal, and QEMU is still there.
 */
export type Stage = 'preparing' | 'paused' | 'grant-received' | 'loaded' | 'recorded' | 'running' | 'releasing';

export interface Breakpoints {
  /** Resolves at once where nothing is to be held, which is always so unless the agent was started for a test. */
  at(stage: Stage, migration: string): Promise<void>;
}

export const noBreakpoints: Breakpoints = { at: () => Promise.resolve() };

/** @param directory absolute */
export const breakpointsIn = (directory: string): Breakpoints => ({
  at: async (stage, migration) => {
    const held = join(directory, stage);
    if (!existsSync(held)) return;
    writeFileSync(`${held}.reached`, migration);
    while (existsSync(held)) await sleep(lookAgainMs);
  },
});

/**
 * @param directory the variable's value; undefined where it is not set
 * @param unsafe whether the agent was started with --unsafe
 * @returns the directory; undefined where nothing is to be held
 * @throws CannotStart
 */
export function checkBreakpoints(directory: string | undefined, unsafe: boolean): string | undefined {
  if (directory === undefined || directory === '') return undefined;
  if (!unsafe) {
    throw new CannotStart(
      `${breakpointsVariable} is set: it would hold migrations for as long as files in ${directory} say so. Unset it, or start the agent with --unsafe if that is what you want`,
    );
  }
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CannotStart(`${breakpointsVariable}: ${directory} is not a directory`);
  }
  return directory;
}

export function warnOfBreakpoints(directory: string, log: Logger): void {
  log.warn({ directory }, 'MIGRATIONS ARE HELD WHERE FILES IN A DIRECTORY SAY SO: whoever writes to it can keep a VM paused');
}
