/** The limits of one copy at its source: what QEMU is told of them, before and meanwhile, and whether the copy can end within them. */
import { type AttemptReport, type LimitsChange, type MigrationLimits, type MigrationProgress, SealiftError } from '@sealift/contract';
import { configureMigration, type MigrationState, type Monitor, setBandwidth, setDowntime } from '@sealift/hypervisor';
import type { Logger } from 'pino';
import type { Failure } from '../handover/records.ts';
import { type Course, courseStart, inWords, judge } from './convergence.ts';

export class CopyLimits {
  readonly #limits: MigrationLimits;
  readonly #vm: string;
  readonly #host: string;
  readonly #log: Logger;
  #bandwidth: number;
  #course: Course;
  /** Once QEMU has been told of the limits, changes go to it at once. */
  #monitor: Monitor | undefined;

  /** @param where the VM, and the host that it runs at meanwhile: their names */
  constructor(limits: MigrationLimits, where: { readonly vm: string; readonly host: string }, log: Logger) {
    this.#limits = limits;
    this.#vm = where.vm;
    this.#host = where.host;
    this.#log = log;
    this.#bandwidth = limits.bandwidthBytesPerSecond;
    this.#course = courseStart(limits);
  }

  /** The switch-over budget as it is now. */
  get downtimeMs(): number {
    return this.#course.budgetMs;
  }

  /** Configures a QEMU that is about to migrate. */
  async apply(monitor: Monitor, multifdChannels: number): Promise<void> {
    const bandwidthBytesPerSecond = this.#bandwidth;
    await configureMigration(monitor, { ...this.#limits, role: 'source', multifdChannels, bandwidthBytesPerSecond });
    this.#monitor = monitor;
    if (this.#bandwidth !== bandwidthBytesPerSecond) await setBandwidth(monitor, this.#bandwidth);
  }

  /** QEMU's when this resolves, or kept for {@link apply}. */
  async change({ bandwidthBytesPerSecond }: LimitsChange): Promise<void> {
    if (bandwidthBytesPerSecond === undefined) return;
    this.#bandwidth = bandwidthBytesPerSecond;
    if (this.#monitor) await setBandwidth(this.#monitor, bandwidthBytesPerSecond);
    this.#log.info({ bandwidthBytesPerSecond }, 'the bandwidth of the migration was changed');
  }

  /**
   * Looks at how far the copy is, and raises the budget where that helps.
   *
   * @returns why it is to be given up, as soon as nothing else is left
   */
  async look({ status }: MigrationState, progress: MigrationProgress): Promise<Failure | undefined> {
    if (status !== 'active' || !this.#monitor) return undefined;
    const { elapsedMs: atMs, bytesOnWire: sent, throttlePercent, ram } = progress;
    const sample = { ...ram, atMs, sent, throttlePercent, bandwidthBytesPerSecond: this.#bandwidth };
    const { course, judgement } = judge(this.#course, sample, this.#limits);
    this.#course = course;
    switch (judgement.do) {
      case 'wait':
        return undefined;
      case 'raise-budget': {
        const { downtimeMs } = judgement;
        this.#log.info({ downtimeMs, passes: ram.passes, remaining: ram.remaining }, 'the switch-over budget grows');
        await setDowntime(this.#monitor, downtimeMs);
        return undefined;
      }
      case 'give-up':
        return {
          code: 'did_not_converge',
          message: `VM ${this.#vm} did not converge: ${inWords(judgement.figures, this.#limits)}. It runs on at host ${this.#host}, unslowed`,
        };
    }
  }
}

/** Limits are those of the copy and of the switch-over: from the grant on, nothing holds a migration back or ends it. */
export function noLimitsLeft(vm: string, host: string, { migration, phase }: AttemptReport): SealiftError {
  const message =
    `the migration of VM ${vm} is ${phase} at host ${host}: its limits could be changed only until the VM was handed over. ` +
    `See how it stands: sealift migration show ${migration}`;
  return new SealiftError('wrong_state', message, { details: { phase } });
}

/** @throws SealiftError `invalid_request` for a deadline that has passed: whoever wants that cancels, and says so */
export function checkDeadline(vm: string, migration: string, deadlineMs: number, elapsedMs: number): void {
  if (deadlineMs > elapsedMs) return;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const message =
    `the migration of VM ${vm} has taken ${seconds(elapsedMs)} already: a deadline of ${seconds(deadlineMs)} has passed. ` +
    `Give a later one, or cancel it: sealift migration cancel ${migration}`;
  throw new SealiftError('invalid_request', message);
}
