/** The demo's account at its end, for people. */
import type { DemoMigration, DemoResult } from './result.ts';

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const milliseconds = (ms: number): string => `${ms.toFixed(0)} ms`;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
/** Of both hosts together, where both have said it. */
const cpu = ({ cpuSeconds: { source, destination } }: DemoMigration): string =>
  destination === undefined
    ? 'not known'
    : `${(source.qemu + destination.qemu).toFixed(1)} + ${(source.transport + destination.transport).toFixed(1)} s`;

const rows: readonly (readonly [label: string, value: (migration: DemoMigration) => string])[] = [
  ['', ({ from, to }) => `${from} → ${to}`],
  ['on the wire', ({ suite }) => (suite === 'none' ? 'clear (control)' : `sealed, ${suite}`)],
  ['migration time', ({ migrationMs }) => seconds(migrationMs)],
  ['switch-over time', ({ switchOverMs }) => milliseconds(switchOverMs)],
  ['guest gap, seen by the client', ({ guestGapMs }) => milliseconds(guestGapMs)],
  ['bytes on the wire', ({ bytesOnWire }) => megabytes(bytesOnWire)],
  ['throughput', ({ throughputMBps }) => `${throughputMBps.toFixed(0)} MB/s`],
  ['CPU, QEMU + transport', cpu],
  ['acknowledged writes', ({ acknowledgedWrites }) => String(acknowledgedWrites)],
  ['of these lost', ({ lostWrites }) => String(lostWrites)],
  ['wrong values', ({ wrongValues }) => String(wrongValues)],
  ['captured', ({ capturedBytes }) => megabytes(capturedBytes)],
  ['memory seen on the wire', ({ markersSeen, markersPlanted }) => `${markersSeen} of ${markersPlanted} markers`],
];

/** Columns are as wide as their widest cell. */
export const accountOf = ({ migrations, memoryChecker, machine, problems }: DemoResult): string => {
  const table = rows.map(([label, value]) => [label, ...migrations.map(value)]);
  const widths = table.reduce<number[]>((widest, row) => row.map((cell, i) => Math.max(widest[i] ?? 0, cell.length)), []);
  const lines = table.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('   ')
      .trimEnd(),
  );
  const { passes, errors, pages } = memoryChecker;
  return [
    ...lines,
    '',
    `Checker in the guest: ${passes} passes over ${pages} pages, ${errors} errors.`,
    `Guest of ${machine.guestMemoryMiB} MiB, QEMU ${machine.qemu} (${machine.accel}), ${machine.cpus} CPUs.`,
    '',
    ...(problems.length === 0
      ? ['No write was lost, and nothing of the guest could be read from the sealed migrations.']
      : problems.map((problem) => `FAILED: ${problem}`)),
  ].join('\n');
};
