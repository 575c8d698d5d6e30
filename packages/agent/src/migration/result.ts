/** The figures of an attempt that has ended. */
import type { AttemptReport } from '@sealift/contract';
import type { Session } from '@sealift/transport';
import type { QemuCpu } from './side.ts';

type Result = NonNullable<AttemptReport['result']>;

/** Moments of process.hrtime.bigint(), on the source's monotonic clock. */
export interface SwitchOver {
  /** QEMU's STOP event came. */
  stoppedAt?: bigint | undefined;
  /** RUNNING came on channel 0. Missing where it was heard later, in settling: when the VM began to run is not known then. */
  runningAt?: bigint | undefined;
}

export const resultOf = (session: Session, cpu: QemuCpu): Result => ({
  bytesOnWire: session.bytesOnWire,
  records: session.statistics.sum('outRecords', 'inRecords'),
  cpuSeconds: { qemu: cpu.spent, transport: session.cpuSeconds },
});

/** @param times with `startedAt`, of performance.now() */
export function sourceResult(session: Session, cpu: QemuCpu, times: SwitchOver & { readonly startedAt: number }): Result {
  const { startedAt, stoppedAt, runningAt } = times;
  // RUNNING travelled for half a round trip, within plus or minus half of the least one.
  const oneWayMs = session.statistics.leastRtt / 2000;
  const blackoutMs = stoppedAt !== undefined && runningAt !== undefined ? Number(runningAt - stoppedAt) / 1e6 : undefined;
  return {
    migrationMs: Math.round(performance.now() - startedAt),
    ...(blackoutMs !== undefined && { switchOverMs: Math.max(0, blackoutMs - oneWayMs), switchOverErrorMs: oneWayMs }),
    ...resultOf(session, cpu),
  };
}
