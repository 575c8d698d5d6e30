/** One side's account of a simulated migration, and those who watch it. */
import { type AttemptReport, finalPhases, type MigrationFailure, type MigrationPhase } from '@sealift/contract';

/** Takes a Server-Sent Event. @returns false where it is full: progress is then left out for it, phases are not */
export interface Watcher {
  write(text: string): boolean;
  end(): void;
}

/** How a watcher is doing. */
interface Standing {
  full: boolean;
  /** Progress it is told no more often than this, ms; and when it may be told next. */
  readonly everyMs: number;
  nextAt: number;
}

const GiB = 1024 ** 3;

export class SimAttempt {
  #report: AttemptReport;
  readonly #watchers = new Map<Watcher, Standing>();
  readonly #beganAt = performance.now();
  readonly runState: 'running' | 'paused';
  /** How long memory is copied for, ms. */
  readonly copyMs: number;

  constructor(report: AttemptReport, runState: 'running' | 'paused', copyMs: number) {
    this.#report = report;
    this.runState = runState;
    this.copyMs = copyMs;
  }

  get report(): AttemptReport {
    return this.#report;
  }

  get ended(): boolean {
    return finalPhases.includes(this.#report.phase);
  }

  enter(phase: MigrationPhase, failure?: MigrationFailure): void {
    const source = this.#report.role === 'source';
    this.#report = {
      ...this.#report,
      phase,
      ...(failure && { failure }),
      ...(source && { progress: this.#progress(phase) }),
      ...(finalPhases.includes(phase) && {
        result: {
          bytesOnWire: 4 * GiB,
          records: 16_384,
          cpuSeconds: { qemu: 3, transport: 4 },
          ...(source && { migrationMs: performance.now() - this.#beganAt, switchOverMs: 40, switchOverErrorMs: 0.25 }),
        },
      }),
    };
    this.#tell();
    if (!this.ended) return;
    for (const watcher of this.#watchers.keys()) watcher.end();
    this.#watchers.clear();
  }

  /** Shows how far it has come to those who keep up. */
  advance(): void {
    if (this.#watchers.size === 0) return;
    this.#report = { ...this.#report, progress: this.#progress(this.#report.phase) };
    this.#tell(true);
  }

  /** The state as it is, then each change. @returns what ends it */
  watch(watcher: Watcher, everyMs: number): () => void {
    watcher.write(eventOf(this.#report));
    if (this.ended) watcher.end();
    else this.#watchers.set(watcher, { full: false, everyMs, nextAt: performance.now() + everyMs });
    return () => void this.#watchers.delete(watcher);
  }

  drained(watcher: Watcher): void {
    const known = this.#watchers.get(watcher);
    if (known) known.full = false;
  }

  #tell(onlyProgress = false): void {
    if (this.#watchers.size === 0) return;
    const now = performance.now();
    let event: string | undefined;
    for (const [watcher, state] of this.#watchers) {
      if (onlyProgress && (state.full || now < state.nextAt)) continue;
      event ??= eventOf(this.#report);
      state.full = !watcher.write(event);
      state.nextAt = now + state.everyMs;
    }
  }

  #progress(phase: MigrationPhase): NonNullable<AttemptReport['progress']> {
    const elapsedMs = performance.now() - this.#beganAt;
    const transferred = Math.round(4 * GiB * Math.min(1, elapsedMs / this.copyMs));
    const quarter = transferred >> 2;
    return {
      phase,
      elapsedMs,
      bytesOnWire: transferred,
      throughputMBps: 800,
      ram: { total: 4 * GiB, transferred, remaining: 4 * GiB - transferred, dirtyBytesPerSecond: 10_000_000, passes: 1 },
      throttlePercent: 0,
      channels: [
        { channel: 0, kind: 'control', bytes: 0, records: 20 },
        { channel: 1, kind: 'main', bytes: quarter, records: 4096 },
        { channel: 2, kind: 'multifd', bytes: quarter, records: 4096 },
        { channel: 3, kind: 'multifd', bytes: quarter, records: 4096 },
      ],
    };
  }
}

const eventOf = (report: AttemptReport): string => `data: ${JSON.stringify(report)}\n\n`;
