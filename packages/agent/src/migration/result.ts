/** The figures of an attempt that has ended. */
import type { AttemptReport } from '@sealift/contract';
import type { Session } from '@sealift/transport';
import type { SwitchOver } from './blackout.ts';
import type { QemuCpu } from './side.ts';

type Result = NonNullable<AttemptReport['result']>;

export const resultOf = (session: Session, cpu: QemuCpu): Result => ({
  bytesOnWire: session.bytesOnWire,
  records: session.statistics.sum('outRecords', 'inRecords'),
  cpuSeconds: { qemu: cpu.spent, transport: session.cpuSeconds },
});

export const sourceResult = (session: Session, cpu: QemuCpu, migrationMs: number, blackout: SwitchOver | undefined): Result => ({
  migrationMs: Math.round(migrationMs),
  ...blackout,
  ...resultOf(session, cpu),
});
