/** What the demo finds out, as its JSON says it. */
import type { MigrationResult, Suite } from '@sealift/contract';
import type { CheckerResult } from '../guest/checker.ts';

export interface Machine {
  readonly cpus: number;
  readonly cpuModel: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly qemu: string;
  readonly accel: string;
  readonly guestMemoryMiB: number;
}

/** One migration: what sealift says of it, what the client saw, and what the wire showed. Units as in the API. */
export interface DemoMigration {
  readonly suite: Suite;
  readonly from: string;
  readonly to: string;
  readonly channels: number;
  readonly migrationMs: number;
  readonly switchOverMs: number;
  readonly guestGapMs: number;
  readonly bytesOnWire: number;
  readonly throughputMBps: number;
  /** From before the order until every slot had been written, and so read, at the destination. */
  readonly acknowledgedWrites: number;
  readonly lostWrites: number;
  readonly wrongValues: number;
  /** TCP payload that the capture of the migration network holds, each byte once. */
  readonly capturedBytes: number;
  readonly markersPlanted: number;
  readonly markersSeen: number;
  readonly cpuSeconds: MigrationResult['cpuSeconds'];
}

export interface DemoResult {
  readonly ok: boolean;
  /** What should have been otherwise, in words. */
  readonly problems: readonly string[];
  readonly machine: Machine;
  readonly migrations: readonly DemoMigration[];
  readonly memoryChecker: CheckerResult;
}
