/** The figures of a run, for people or for programs. */
import type { Result } from './main.ts';
import { type Condition, conditions, type Transfer } from './transfer.ts';

interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = sorted.length >> 1;
  return { min: at(0), median: sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2, max: at(sorted.length - 1) };
}

const names: Record<Condition, string> = {
  none: 'no flood',
  unrelated: 'flood of an unrelated listener',
  'migration-port': 'flood of the migration port',
};

export function render({ plan, rounds, repeated }: Result, json: boolean): string {
  const seconds = (condition: Condition): Spread => spread(rounds.map((round) => round[condition].seconds));
  const ratio = (over: Condition, under: Condition): Spread => spread(rounds.map((round) => round[over].seconds / round[under].seconds));
  const cpu = ({ sender, receiver, bystander, strangers }: Transfer['cpu']): number => sender + receiver + bystander + strangers;
  const median = (of: (cpu: Transfer['cpu']) => number, condition: Condition): number =>
    spread(rounds.map((round) => of(round[condition].cpu))).median;
  const ratios = {
    migrationPortToUnrelated: ratio('migration-port', 'unrelated'),
    unrelatedToNone: ratio('unrelated', 'none'),
    migrationPortToNone: ratio('migration-port', 'none'),
    cpuOfMigrationPortToUnrelated: spread(rounds.map((round) => cpu(round['migration-port'].cpu) / cpu(round.unrelated.cpu))),
  };
  if (json) {
    const each = Object.fromEntries(conditions.map((condition) => [condition, seconds(condition)]));
    return `${JSON.stringify({ benchmark: 'flood', ...plan, repeated, seconds: each, ratios, rounds }, undefined, 2)}\n`;
  }
  const row = (name: string, { min, median, max }: Spread): string =>
    `${name.padEnd(46)}${[min, median, max].map((value) => value.toFixed(3).padStart(9)).join('')}`;
  const mebibytes = Math.round((plan.bytesPerStream * plan.streams) / 1024 / 1024);
  const [quiet, flooded] = [median(({ receiver }) => receiver, 'none'), median(({ receiver }) => receiver, 'migration-port')];
  return [
    `${rounds.length} rounds, ${mebibytes} MiB in ${plan.streams} streams, ${plan.strangers} strangers at ${plan.rate} a second, all during the transfer`,
    ...(repeated > 0 ? [`${repeated} more rounds did not count: the flood outlasted a transfer`] : []),
    'every byte arrived as it was sent',
    '',
    `${'seconds of a transfer'.padEnd(46)}${['min', 'median', 'max'].map((each) => each.padStart(9)).join('')}`,
    ...conditions.map((condition) => row(`  ${names[condition]}`, seconds(condition))),
    'ratios, round by round',
    row('  migration port / unrelated listener', ratios.migrationPortToUnrelated),
    row('  unrelated listener / no flood', ratios.unrelatedToNone),
    row('  migration port / no flood', ratios.migrationPortToNone),
    row('  migration port / unrelated listener, in CPU', ratios.cpuOfMigrationPortToUnrelated),
    '',
    'CPU seconds, medians, which say the same on a busy machine: the ratio above counts both ends, the listener and the strangers',
    `  destination's end ${quiet.toFixed(2)} without a flood, ${flooded.toFixed(2)} with one at its port`,
    `  unrelated listener ${median(({ bystander }) => bystander, 'unrelated').toFixed(2)}`,
    `  strangers ${median(({ strangers }) => strangers, 'unrelated').toFixed(2)} there,` +
      ` ${median(({ strangers }) => strangers, 'migration-port').toFixed(2)} at the migration port`,
    '',
  ].join('\n');
}
