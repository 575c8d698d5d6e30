/** What both sides of an attempt have in common: the host, the spec, the journal, the report. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { MigrationPhase, MigrationSpec } from '@sealift/contract';
import { cpuSeconds } from '@sealift/hypervisor';
import type { Session, Transport } from '@sealift/transport';
import type { Logger } from 'pino';
import type { AgentHost } from '../attempts.ts';
import type { Failure } from '../handover/records.ts';
import type { Report } from './report.ts';

/** What an attempt works with. */
export interface Workplace {
  readonly host: AgentHost;
  readonly transport: Transport;
}

/** One side of one attempt, as the book of attempts keeps it. */
export interface Side {
  readonly role: 'source' | 'destination';
  readonly vmName: string;
  readonly report: Report;
  /** @throws SealiftError `wrong_state` after the grant */
  cancel(): void;
  /** The daemon ends: lets go of everything but the VM. */
  detach(): Promise<void>;
}

/** Which part of a spec an attempt is known by; it outlives the spec in the journal. */
export type AttemptIdentity = Pick<MigrationSpec, 'migration' | 'attempt' | 'expiresAt'>;

/** The sockets of a migration stand in a directory of its own. */
export const directoryOf = (host: AgentHost, migration: string): string => path.join(host.runDirectory, migration);

export const removeDirectory = (host: AgentHost, migration: string): Promise<void> =>
  rm(directoryOf(host, migration), { recursive: true, force: true });

/** How an attempt that did not go through is called. */
export const phaseOfFailure = (failure: Failure | undefined): MigrationPhase => (failure?.code === 'cancelled' ? 'cancelled' : 'failed');

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

/** Ends a session whose handover is over. Whatever is not closed by then is dropped; nothing depends on it any more. */
export async function closeSession(session: Session, log: Logger): Promise<void> {
  session.close();
  const timer = setTimeout(() => {
    log.warn('the channels did not close in time');
    void session.drop();
  }, closeMs);
  await session.ended.catch(() => undefined);
  clearTimeout(timer);
  await session.drop();
}
