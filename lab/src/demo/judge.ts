/** What the demo promises, against what it found. */
import type { CheckerResult } from '../guest/checker.ts';
import type { LoadReport } from '../workload/protocol.ts';
import type { DemoMigration } from './result.ts';

/** @param load the final report, after everything was read back @returns what is not as promised; nothing when all is well */
export const judge = (migrations: readonly DemoMigration[], load: LoadReport, checker: CheckerResult): readonly string[] => [
  ...migrations.flatMap(judgeMigration),
  ...expectZero('lost writes', load.lostWrites, 'in all, after reading everything back'),
  ...expectZero('wrong values', load.wrongValues, 'in all, after reading everything back'),
  ...expectZero('broken client connections', load.reconnects, 'in all'),
  ...expectZero('refused writes', load.refusedWrites, 'in all'),
  ...expectZero('memory errors', checker.errors, `in ${checker.passes} passes of the checker in the guest`),
  ...(checker.passes > 0 ? [] : ['the memory checker in the guest has not finished a pass']),
];

const judgeMigration = (migration: DemoMigration, index: number): readonly string[] => {
  const sealed = migration.suite !== 'none';
  const where = `in migration ${index + 1}, ${migration.from} to ${migration.to}, ${sealed ? 'sealed' : 'clear'}`;
  const problems = [...expectZero('lost writes', migration.lostWrites, where), ...expectZero('wrong values', migration.wrongValues, where)];
  if (sealed) problems.push(...expectZero("pieces of the guest's memory readable on the wire", migration.markersSeen, where));
  if (!sealed && migration.markersSeen === 0) {
    problems.push(`no marker was seen ${where}: the capture cannot see what it should, so it proves nothing of the sealed ones either`);
  }
  if (migration.capturedBytes < migration.bytesOnWire) {
    problems.push(`the capture holds ${migration.capturedBytes} bytes and sealift sent ${migration.bytesOnWire} ${where}`);
  }
  return problems;
};

const expectZero = (what: string, count: number, where: string): readonly string[] => (count === 0 ? [] : [`${count} ${what} ${where}`]);
