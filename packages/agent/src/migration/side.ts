/** What both sides of an attempt have in common: the host, the spec, the journal, the report. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AttemptReport,
  type Keep,
  type LimitsChange,
  type MigrationSpec,
  type Peer,
  SealiftError,
  type SettleAnswer,
  type SettleRequest,
} from '@sealift/contract';
import { cpuSeconds } from '@sealift/hypervisor';
import type { Session, Transport } from '@sealift/transport';
import type { Logger } from 'pino';
import type { AgentHost } from '../attempts.ts';
import type { Failure } from '../handover/records.ts';
import type { Breakpoints } from './breakpoints.ts';
import type { Report } from './report.ts';

/** What an attempt works with. */
export interface Workplace {
  readonly host: AgentHost;
  readonly transport: Transport;
  readonly breakpoints: Breakpoints;
}

/** One side of one attempt, as the book of attempts keeps it. */
export interface Side {
  readonly role: 'source' | 'destination';
  readonly vmName: string;
  readonly report: Report;
  /** Resolves when it is decided that the VM is not handed over. @throws SealiftError `wrong_state` after the grant */
  cancel(): Promise<void>;
  /** @throws SealiftError `wrong_state` at the destination, after the grant, and where it has ended */
  adjust(change: LimitsChange): Promise<void>;
  /** Hears what the other host says, and says what this one does. @throws SealiftError `not_authorised` for a statement that is not the other host's */
  settle(request: SettleRequest): SettleAnswer;
  /** An administrator's decision. When this resolves the journal has it, and a copy that was to be given up at the destination is gone. @throws SealiftError `wrong_state` where it is not in doubt here */
  resolve(keep: Keep): Promise<AttemptReport>;
  /** The daemon ends: lets go of everything but the VM. */
  detach(): Promise<void>;
}

/** What an attempt is known by, and who has its other half; it outlives the spec in the journal. */
export type AttemptIdentity = Pick<MigrationSpec, 'migration' | 'attempt' | 'expiresAt'> & { readonly peer: Peer };

export const tooLateToCancel = (vm: string, { migration }: AttemptIdentity): SealiftError =>
  new SealiftError(
    'wrong_state',
    `${vm} has been handed over already, so the migration cannot be cancelled: it runs at the destination within moments, or comes back by itself. See how it ends: sealift migration watch ${migration}`,
  );

/** For what has to succeed in the end, from the first failure on. */
export const firstRetryMs = 250;
export const longestRetryMs = 5_000;

/** As often as it takes. @param failed told of each failure */
export async function insist(action: () => Promise<void>, failed: (error: unknown) => void): Promise<void> {
  for (let wait = firstRetryMs; ; wait = Math.min(wait * 2, longestRetryMs)) {
    try {
      await action();
      return;
    } catch (error) {
      failed(error);
      await sleep(wait, undefined, { ref: false });
    }
  }
}

/** What QEMU answers; undefined where it does not, or is gone so that there is nobody to ask: then the monitor itself is refused. */
export async function asked<T>(ask: () => Promise<T>, failed?: (error: unknown) => void): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    failed?.(error);
    return undefined;
  }
}

/** The sockets of a migration stand in a directory of its own. */
export const directoryOf = (host: AgentHost, migration: string): string => path.join(host.runDirectory, migration);

export const removeDirectory = (host: AgentHost, migration: string): Promise<void> =>
  rm(directoryOf(host, migration), { recursive: true, force: true });

export const cancelled: Failure = { code: 'cancelled', message: 'cancelled; the VM runs on at the source' };

export const failureOf = (error: unknown, code: Failure['code']): Failure => ({
  code,
  message: error instanceof Error ? error.message : String(error),
});

/** CPU seconds of QEMU's threads other than vCPUs, as far as they can still be asked. */
export class QemuCpu {
  readonly #pid: number | undefined;
  #first: number | undefined;
  #last = 0;

  constructor(pid: number | undefined) {
    this.#pid = pid;
  }

  async sample(): Promise<void> {
    const now = this.#pid === undefined ? undefined : (await cpuSeconds(this.#pid))?.other;
    if (now === undefined) return;
    this.#first ??= now;
    this.#last = now;
  }

  get spent(): number {
    return Math.max(0, this.#last - (this.#first ?? this.#last));
  }
}

/** How long channels may take to close in order when all is said and done. */
const closeMs = 3_000;

/**
 * Ends a session whose handover is over. Whatever is not closed by then is dropped; nothing depends on it any more.
 *
 * @returns whether the other side has closed too, which it does only once it knows how the attempt ended
 */
export async function closeSession(session: Session, log: Logger): Promise<boolean> {
  session.close();
  const timer = setTimeout(() => {
    log.warn('the channels did not close in time');
    void session.drop();
  }, closeMs);
  const closed = await session.ended.then(
    () => true,
    () => false,
  );
  clearTimeout(timer);
  await session.drop();
  return closed;
}
