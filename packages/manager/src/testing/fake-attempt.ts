/** One side's account of a pretended attempt, with those who watch it. */
import { randomBytes } from 'node:crypto';
import {
  type AttemptReport,
  finalPhases,
  type Keep,
  type LimitsChange,
  type MigrationFailure,
  type MigrationPhase,
  type MigrationSpec,
  type VmState,
} from '@sealift/contract';

export class FakeAttempt {
  #report: AttemptReport;
  #changed = Promise.withResolvers<void>();
  /** Of the spec's key and context, so that both sides can be seen to hold the same. */
  readonly secret: string;
  readonly spec: MigrationSpec;
  /** Where the other host's agent was said to answer. */
  readonly peer: string;
  /** Of this host's own questions; shown while it is in doubt as the destination. */
  readonly challenge = randomBytes(16).toString('base64url');
  /** As the VM was before it moved. */
  runState: VmState = 'running';
  /** What was changed while it ran. */
  readonly adjusted: LimitsChange = {};

  constructor(report: AttemptReport, spec: MigrationSpec, peer: string, secret: string) {
    this.#report = report;
    this.spec = spec;
    this.peer = peer;
    this.secret = secret;
  }

  get report(): AttemptReport {
    return this.#report;
  }

  get ended(): boolean {
    return finalPhases.includes(this.#report.phase);
  }

  enter(phase: MigrationPhase, failure?: MigrationFailure, resolved?: Keep): void {
    const done = ['connecting', 'copying', 'switching-over', 'granted', 'releasing', 'completed'].indexOf(phase) + 1;
    const source = this.#report.role === 'source';
    const { challenge: _, ...before } = this.#report;
    this.#report = {
      ...before,
      phase,
      ...(failure && { failure }),
      ...(resolved && { resolved }),
      ...(phase === 'in-doubt' && !source && { challenge: this.challenge }),
      ...(source && { progress: progressAt(phase, done) }),
      ...(finalPhases.includes(phase) && {
        result: {
          bytesOnWire: 1_000_000 * done,
          records: 4 * done,
          cpuSeconds: source ? { qemu: 0.25, transport: 0.5 } : { qemu: 0.125, transport: 0.75 },
          ...(source && { migrationMs: 2000, switchOverMs: 40.5, switchOverErrorMs: 0.25 }),
        },
      }),
    };
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }

  async *watch(signal: AbortSignal): AsyncGenerator<AttemptReport> {
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => aborted.resolve(), { once: true });
    while (!signal.aborted) {
      const changed = this.#changed.promise;
      yield this.#report;
      if (this.ended) return;
      await Promise.race([changed, aborted.promise]);
    }
  }
}

const progressAt = (phase: MigrationPhase, done: number): NonNullable<AttemptReport['progress']> => ({
  phase,
  elapsedMs: 100 * done,
  bytesOnWire: 1_000_000 * done,
  throughputMBps: 10,
  ram: { total: 8_000_000, transferred: 1_000_000 * done, remaining: 8_000_000 - 1_000_000 * done, dirtyBytesPerSecond: 0, passes: 1 },
  throttlePercent: 0,
  channels: [
    { channel: 0, kind: 'control', bytes: 0, records: done },
    { channel: 1, kind: 'main', bytes: 1_000_000 * done, records: 3 * done },
  ],
});
